package printable

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestTextIsShortAndVisible(t *testing.T) {
	for _, tt := range []struct{ in, text, quoted string }{
		{"", "", `""`},
		{"茶 tea\u3000", "茶 tea\u3000", "\"茶 tea\u3000\""},
		{"a\r\n\x1b[2J\x00\x7f", `a\r\n\x1b[2J\x00\x7f`, `"a\r\n\x1b[2J\x00\x7f"`},
		{"a\u202eb\u200bc\u2028", `a\u202eb\u200bc\u2028`, `"a\u202eb\u200bc\u2028"`},
		{"a\u115fb\u3164c\uffa0d\u034f", `a\u115fb\u3164c\uffa0d\u034f`, `"a\u115fb\u3164c\uffa0d\u034f"`}, // letters and a mark that show nothing
		{"a\xff\xe8\x8c", `a\xff\xe8\x8c`, `"a\xff\xe8\x8c"`},
		{`say "\n"`, `say "\n"`, `"say \"\\n\""`},
		{"a" + strings.Repeat("\u0301", 6) + "b\u0301", "a\u0301\u0301\u0301\u0301" + `\u0301\u0301` + "b\u0301", "\"a\u0301\u0301\u0301\u0301" + `\u0301\u0301` + "b\u0301\""},
		{"\uFFFD", "\uFFFD", "\"\uFFFD\""}, // it is valid
	} {
		require.Equal(t, tt.text, Text(tt.in))
		require.Equal(t, tt.quoted, Quote(tt.in))
	}
}

func TestTextIsCutBetweenRunes(t *testing.T) {
	require.Equal(t, strings.Repeat("x", Limit), Text(strings.Repeat("x", Limit)))
	require.Equal(t, strings.Repeat("x", Limit)+"…", Text(strings.Repeat("x", 16<<20)))
	require.Equal(t, `"`+strings.Repeat("x", Limit)+`…"`, Quote(strings.Repeat("x", Limit+1)))
	require.Equal(t, strings.Repeat(`\x00`, Limit/4)+"…", Text(strings.Repeat("\x00", 1000)), "an escape is not cut either")
	for shift := range 4 {
		text := Text(strings.Repeat("x", shift) + strings.Repeat("茶", 1000))
		require.True(t, strings.HasSuffix(text, "茶…"))
		require.LessOrEqual(t, len(text), Limit+len("…"))
	}
}

func FuzzText(f *testing.F) {
	f.Add("\x1b]0;title\a", 10)
	f.Add(strings.Repeat("\U000e0001", 30), Limit)
	f.Add("茶\xff", 3)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 0), 1000)
		text := Cut(s, limit)
		require.True(t, utf8.ValidString(text))
		require.True(t, plain(text))
		require.LessOrEqual(t, len(text), limit+len("…"))
		require.Equal(t, text, Cut(text, limit))
		require.LessOrEqual(t, len(Quote(s)), Limit+len(`"…"`))
	})
}
