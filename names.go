package wechatws

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wechatws/wechatws/internal/printable"
)

// nameOf returns the name of one of an enumeration's values, which count from zero.
func nameOf[T ~int](v T, typ string, names []string) string {
	if v < 0 || int(v) >= len(names) {
		return fmt.Sprintf("%s(%d)", typ, int(v))
	}
	return names[v]
}

// setNamed sets v to the value with the name that text is.
func setNamed[T ~int](v *T, text []byte, what string, names []string) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		last := len(names) - 1
		return fmt.Errorf("wechatws: %s %s: must be %s or %s", what, printable.Quote(string(text)), strings.Join(names[:last], ", "), names[last])
	}
	*v = T(i)
	return nil
}
