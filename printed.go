package wechatws

import (
	"math"

	"github.com/wechatws/wechatws/internal/printable"
)

// Printable returns text that is safe to print in a terminal or a log. It escapes, as in a Go string,
// control and format characters (line ends, tabs, changes of direction, the joiner of composed
// emoji), fillers, other characters that are not graphic, bytes that are not valid UTF-8, and combining marks
// after the fourth on one character. A backslash is not escaped, so the original cannot be restored;
// calling Printable twice changes nothing more.
//
// Use it for all text of messages. Errors of this package and lines of [WithLogger] are safe already,
// and so is %q. It does not shorten text, which may be as long as [WithReadLimit] permits, and does not
// escape HTML.
func Printable[T ~string | ~[]byte](text T) string { return printable.Cut(string(text), math.MaxInt) }

// says returns a text of the server as the end of an error's text; empty without
// [WithServerText].
func (c *config) says(text string) string {
	if !c.serverText || text == "" {
		return ""
	}
	return ": " + printable.Quote(text)
}
