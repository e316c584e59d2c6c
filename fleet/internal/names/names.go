// Package names makes any text into a token of a NATS subject or a key, and back.
package names

import (
	"errors"
	"fmt"
	"strings"
)

const hex = "0123456789ABCDEF"

// Token returns s with everything but letters, digits, - and _ written as =XX, so that it is one token
// of a subject and part of a key. Tokens that begin with _ are reserved for the fleet itself: an _ at the
// beginning of s is written as =5F. The token of the empty string is a single =.
func Token(s string) string {
	if s == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_' && i > 0:
			b.WriteByte(c)
		default:
			b.WriteByte('=')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// Text returns the string that a token was made of.
func Text(token string) (string, error) {
	if token == "=" {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c != '=' {
			b.WriteByte(c)
			continue
		}
		if i+2 >= len(token) {
			return "", errors.New("names: it ends inside an escape")
		}
		high, low := strings.IndexByte(hex, token[i+1]), strings.IndexByte(hex, token[i+2])
		if high < 0 || low < 0 {
			return "", fmt.Errorf("names: %q is no escape", token[i:i+3])
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	return b.String(), nil
}
