package wechatws

import (
	"math"

	"github.com/wechatws/wechatws/internal/printable"
)

// Printable returns text with everything escaped, as in a Go string, that could control a terminal,
// fake a line, change the direction of text, or be invisible: control and format characters, line
// ends and tabs included, fillers, bytes that are not valid UTF-8, and more than four marks on one
// character. All other text is returned as it is. Printable of Printable is the same again.
//
// Use it for every text of a message that a program prints. The errors of this package and the lines
// of [WithLogger] do not need it, nor does %q. It does not shorten text, which is as long as the
// sender likes, up to [WithReadLimit]. HTML needs an escaping of its own.
func Printable[T ~string | ~[]byte](text T) string { return printable.Cut(string(text), math.MaxInt) }

// says returns a text of the server as the end of an error's text; empty without
// [WithServerText].
func (c *config) says(text string) string {
	if !c.serverText || text == "" {
		return ""
	}
	return ": " + printable.Quote(text)
}
