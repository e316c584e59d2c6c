package printable

import (
	"fmt"
	"io"
)

// Format is the Format method of a type whose values are printed as text by all verbs, and by %#v with
// the name of the type around it. Without such a method, fmt prints the fields of a value for each verb that is
// not for text, such as %d: with their secrets, and while other goroutines write them.
func Format(s fmt.State, verb rune, typ, text string) {
	if verb == 'v' && s.Flag('#') {
		_, _ = io.WriteString(s, typ+"("+text+")")
		return
	}
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), text)
}
