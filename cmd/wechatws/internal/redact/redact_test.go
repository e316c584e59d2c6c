package redact

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEveryFormOfASecretIsReplaced(t *testing.T) {
	r := New(`s3"<cr/é`, "", "other")
	for in, want := range map[string]string{
		`s3"<cr/é`:                            "[secret]",
		`xs3"<cr/éx other`:                    "x[secret]x [secret]",
		`{"token":"s3\"<cr/é"}`:               `{"token":"[secret]"}`,
		`{"token":"s3\"\u003ccr/é"}`:          `{"token":"[secret]"}`,
		"GET /?token=s3%22%3Ccr%2F%C3%A9":     "GET /?token=[secret]",
		"a text with nothing in it to be hid": "a text with nothing in it to be hid",
	} {
		assert.Equal(t, want, r.Replace(in))
	}
	assert.Equal(t, "abc", New("").Replace("abc"))
}
