package liveroom

import (
	"html"
	"regexp"
	"strconv"
	"strings"
)

var (
	ampersands = regexp.MustCompile(`&(amp;)+`)
	lineBreaks = regexp.MustCompile(`(?i)<br\s*/?>`)
	numeric    = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)
)

// plainText returns a text without the differences that servers make between a comment and its echo:
// white space, what nl2br and htmlspecialchars do, however often, and the notation of a number, see
// [Text]. What was said may have escapes itself, so that it is treated as the echo is.
func plainText(text string) string {
	text = string([]rune(text)) // as JSON has what is not valid UTF-8
	text = html.UnescapeString(ampersands.ReplaceAllString(text, "&"))
	text = strings.Join(strings.Fields(lineBreaks.ReplaceAllString(text, "\n")), " ")
	if !numeric.MatchString(text) {
		return text
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
