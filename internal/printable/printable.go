// Package printable makes text from outside fit for an error or a log line: short, valid
// UTF-8, and with its control characters visible.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limit is the length, in bytes, at which [Text] and [Quote] cut.
const Limit = 200

// mark stands at the end of text that was cut.
const mark = "…"

// maxMarks is how many marks, such as accents, may stand on one character. More of them cover the
// lines above.
const maxMarks = 4

// Text returns s with everything that is not graphic, and marks above maxMarks, escaped as in a Go
// string, cut at [Limit] bytes. Text that was cut ends in "…". Text of Text is the same again.
func Text(s string) string { return Cut(s, Limit) }

// Cut is [Text] with a limit of its own.
func Cut(s string, limit int) string {
	if len(s) <= limit && plain(s) {
		return s
	}
	return string(appendCut(nil, s, limit, ""))
}

// Quote is [Text] in double quotes. A quote or a backslash in s is escaped, so that the end
// of s cannot be mistaken.
func Quote(s string) string {
	return string(append(appendCut([]byte{'"'}, s, Limit, `"\`), '"'))
}

// plain reports whether nothing in s is escaped.
func plain(s string) bool {
	marks := 0
	for _, r := range s {
		if escaped(r, &marks) {
			return false
		}
	}
	return utf8.ValidString(s)
}

// escaped reports whether r could be invisible, or change how the text around it is shown. It counts
// the marks in a row.
func escaped(r rune, marks *int) bool {
	if unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) { // letters and marks that fill, and show nothing
		*marks = 0
		return true
	}
	if !unicode.In(r, unicode.Mn, unicode.Me) {
		*marks = 0
		return !unicode.IsGraphic(r)
	}
	*marks++
	return *marks > maxMarks
}

// appendCut appends up to limit bytes of s, whose runes are kept whole, and so are their
// escapes. It reads no more of s than that.
func appendCut(b []byte, s string, limit int, special string) []byte {
	limit = max(limit, limit+len(b)) // without an overflow
	marks := 0
	for i, size := 0, 0; i < len(s); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(s[i:])
		shown := s[i : i+size]
		switch {
		case r == utf8.RuneError && size == 1:
			shown = `\x` + string("0123456789abcdef"[s[i]>>4]) + string("0123456789abcdef"[s[i]&15])
		case strings.ContainsRune(special, r):
			shown = `\` + shown
		case escaped(r, &marks):
			shown = strconv.QuoteRuneToASCII(r)
			shown = shown[1 : len(shown)-1]
		}
		if len(b)+len(shown) > limit {
			return append(b, mark...)
		}
		b = append(b, shown...)
	}
	return b
}
