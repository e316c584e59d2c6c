package liveroom

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// words makes a list of comments, one a word.
func words(text string) (list []Comment) {
	for _, word := range strings.Fields(text) {
		list = append(list, Comment{Sender: Sender{FromName: "x"}, Content: Text(word)})
	}
	return list
}

func text(list []Comment) string {
	var words []string
	for _, c := range list {
		words = append(words, string(c.Content))
	}
	return strings.Join(words, " ")
}

func TestMergeHistory(t *testing.T) {
	for name, tt := range map[string]struct{ seen, history, want string }{
		"the first join":              {"", "a b", "a b"},
		"no history":                  {"a b", "", "a b"},
		"nothing missed":              {"a b c", "b c", "a b c"},
		"something missed":            {"a b c", "b c d e", "a b c d e"},
		"the same words again":        {"a 6 6 6", "6 6 6 6", "a 6 6 6 6"},
		"no overlap":                  {"a b", "x y", "a b x y"},
		"a word in common":            {"a 6 b", "x 6 y", "a 6 b x 6 y"},
		"the history is older":        {"a b c", "a b", "a b c"},
		"one removed by a moderator":  {"a b bad c d", "a b c d e", "a b bad c d e"},
		"a gap from an outage":        {"a b e f", "a b c d e f g", "a b c d e f g"},
		"as much for as against":      {"a b", "x b", "a b x b"},
		"all of it is new":            {"a", "b", "a b"},
		"all say the same, and a gap": {"a b a b b a a b", "b a b b b a a b a", "a b a b b b a a b a"},
		"longer than what was seen":   {"c d", "a b c d e", "a b c d e"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, text(mergeHistory(words(tt.seen), words(tt.history))))
		})
	}
}

// A conversation, a drop somewhere, and a history that reaches back to before it:
// the result is the conversation.
func TestMergeHistoryRestoresAnyConversation(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		all := words("")
		for range 10 + r.IntN(60) {
			all = append(all, words("c"+strings.Repeat("x", r.IntN(200)))...)
		}
		const overlap = 5
		dropped := overlap + r.IntN(len(all)-overlap)
		begin := r.IntN(dropped - overlap + 1)
		joined := r.IntN(dropped - overlap + 1) // we came after this many
		merged := mergeHistory(all[joined:dropped], all[begin:])
		require.Equal(t, text(all[min(begin, joined):]), text(merged), "from %d to %d, history from %d", joined, dropped, begin)
	}
}

func BenchmarkMergeHistory(b *testing.B) {
	var all []Comment
	for i := range 220 {
		all = append(all, words(strings.Repeat("x", i))...)
	}
	b.ReportAllocs()
	for b.Loop() {
		mergeHistory(all[:200], all[20:])
	}
}

// Which lines of a history are newer than those that were seen. A letter is a line.
func TestNewIn(t *testing.T) {
	six := strings.Repeat("6", 70)
	flood := strings.Repeat("6", 100) + "p" + strings.Repeat("6", 99)
	for _, tt := range []struct {
		seen, history string
		want          []int // if the history cannot begin before what was seen
		wantCut       []int // if it can
	}{
		{"", "", nil, nil},
		{"ab", "", nil, nil},
		{"", "ab", []int{0, 1}, nil},
		{"abc", "abc", nil, nil},
		{"abc", "bc", nil, nil},
		{"abc", "bcd", []int{2}, []int{2}},
		{"abc", "xyabcd", []int{5}, []int{5}}, // older ones than those that were seen
		{"abc", "def", []int{0, 1, 2}, []int{0, 1, 2}},
		{"aaa", "aaaa", []int{3}, nil}, // the same text again, or before
		{"a", "aa", []int{1}, nil},
		{"aba", "ba", nil, nil},
		{"aba", "baa", []int{2}, []int{2}},
		{"abcd", "bXcd", []int{1}, []int{1}},     // one that was lost on the way to this member
		{"abcd", "acde", []int{3}, []int{3}},     // one that a moderator has removed
		{"aaaa", "aaa", nil, nil},                // nothing new, or one: it cannot be known
		{"abp", "xpy", []int{0, 2}, []int{0, 2}}, // no place where they fit
		{"p66", "66p666p", []int{5, 6}, []int{5, 6}},
		{strings.Repeat("6", 50), strings.Repeat("6", 50) + "p66", []int{50, 51, 52}, []int{50, 51, 52}},
	} {
		list := func(s string) []string { return strings.Split(s, "") }
		places, _ := newIn(list(tt.seen), list(tt.history), true)
		require.Equal(t, tt.want, places, "%s, %s", tt.seen, tt.history)
		places, _ = newIn(list(tt.seen), list(tt.history), false)
		require.Equal(t, tt.wantCut, places, "%s, %s", tt.seen, tt.history)
	}
	// The flood of one text began before what is remembered of it.
	for _, seen := range []string{six, "x" + six, six + "x66", six + "x6"} {
		places, reaches := newIn(strings.Split(seen, ""), strings.Split(flood, ""), false)
		require.Empty(t, places, seen)
		require.False(t, reaches, seen)
	}
}
