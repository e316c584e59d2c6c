// Package jsonline writes JSON, one object a line.
package jsonline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
)

// Write writes v and a newline with one call of w.Write. Characters with which a terminal could be
// controlled are escaped, so that the line may be looked at.
func Write(w io.Writer, v any) error {
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(harmless(line.Bytes()))
	return err
}

// harmless returns a line of JSON with \u escapes for everything that is not graphic. All of it is in
// strings.
func harmless(line []byte) []byte {
	text := bytes.TrimSuffix(line, []byte("\n"))
	if bytes.IndexFunc(text, hidden) < 0 {
		return line
	}
	var out bytes.Buffer
	for _, r := range string(text) {
		switch {
		case !hidden(r):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	out.WriteByte('\n')
	return out.Bytes()
}

func hidden(r rune) bool { return !unicode.IsGraphic(r) }
