package names_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet/internal/names"
)

func TestToken(t *testing.T) {
	for text, token := range map[string]string{
		"9527": "9527", "room-1_b": "room-1_b", "": "=", "=": "=3D", "_held": "=5Fheld",
		"a.b": "a=2Eb", "*": "=2A", ">": "=3E", "a b": "a=20b", "茶": "=E8=8C=B6", "a/b": "a=2Fb",
	} {
		assert.Equal(t, token, names.Token(text))
		back, err := names.Text(token)
		require.NoError(t, err)
		assert.Equal(t, text, back)
	}
	for _, wrong := range []string{"=5", "a=", "=5f", "=zz"} {
		_, err := names.Text(wrong)
		assert.Error(t, err, wrong)
	}
}

func FuzzToken(f *testing.F) {
	f.Add("茶 room.*>")
	safe := regexp.MustCompile(`^[-=_a-zA-Z0-9]+$`)
	f.Fuzz(func(t *testing.T, text string) {
		token := names.Token(text)
		assert.Regexp(t, safe, token)
		assert.NotRegexp(t, "^_", token)
		back, err := names.Text(token)
		require.NoError(t, err)
		assert.Equal(t, text, back)
	})
}
