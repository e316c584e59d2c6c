package redact

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEveryFormOfASecretIsReplaced(t *testing.T) {
	r := New(`s3"<cr/é`, "", "other", "ab/cd+e&g=", "123456")
	for in, want := range map[string]string{
		`s3"<cr/é`:                            "[secret]",
		`xs3"<cr/éx other`:                    "x[secret]x [secret]",
		`{"token":"s3\"<cr/é"}`:               `{"token":"[secret]"}`,
		`{"token":"s3\"\u003ccr/é"}`:          `{"token":"[secret]"}`,
		"GET /?token=s3%22%3Ccr%2F%C3%A9":     "GET /?token=[secret]",
		"GET /?token=s3%22%3ccr%2f%c3%a9":     "GET /?token=[secret]",
		"a text with nothing in it to be hid": "a text with nothing in it to be hid",

		// The encoders of PHP, Python, Gson and .NET.
		`{"token":"ab\/cd+e&g="}`:            `{"token":"[secret]"}`,
		`{"token":"s3\"<cr\/\u00e9"}`:        `{"token":"[secret]"}`,
		`{"token":"s3\"<cr/\u00e9"}`:         `{"token":"[secret]"}`,
		`{"token":"ab/cd+e\u0026g\u003d"}`:   `{"token":"[secret]"}`,
		`{"token":"ab/cd\u002Be\u0026g="}`:   `{"token":"[secret]"}`,
		`{"token":"ab/cd+e&g=","room":9527}`: `{"token":"[secret]","room":9527}`,
	} {
		assert.Equal(t, want, r.Replace(in))
	}
	assert.Equal(t, "abc", New("").Replace("abc"))
}

func TestANumberThatIsReplacedLeavesJSON(t *testing.T) {
	r := New("123456")
	for in, want := range map[string]string{
		`{"pin":123456}`:         `{"pin":"[secret]"}`,
		`{"pin":123456,"n":1}`:   `{"pin":"[secret]","n":1}`,
		`{"a":[{"pin":123456}]}`: `{"a":[{"pin":"[secret]"}]}`,
		`{"pin":"123456"}`:       `{"pin":"[secret]"}`,
	} {
		assert.Equal(t, want, r.Replace(in))
		assert.True(t, json.Valid([]byte(want)))
	}
}
