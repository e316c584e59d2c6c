package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/redact"
)

func TestSecretsOfALogin(t *testing.T) {
	for login, want := range map[string][]string{
		`{"msg_type":"join","room_id":9527,"from_name":"Annette"}`:     {"Annette"},
		`{"op":"identify","token":"t0ps3cret"}`:                        {"t0ps3cret"},
		`{"kind":"hello","data":{"path":"login","password":12345678}}`: {"12345678"},
		`["1","1","room:lobby","phx_join",{"jwt":"t0ps3cret"}]`:        {"t0ps3cret"},
		`["auth","eyJhbGciOiJIUzI1NiJ9"]`:                              {"eyJhbGciOiJIUzI1NiJ9"},
		`{"route":"login","token":"t0ps3cret"}`:                        {"t0ps3cret"},
		`{"auth":"Bearer t0ps3cret"}`:                                  {"Bearer t0ps3cret", "t0ps3cret"},
		"not JSON":                                                     nil,
	} {
		assert.ElementsMatch(t, want, secretsIn(login, "route", "path"), login)
	}
}

func TestSecretsOfAURL(t *testing.T) {
	for url, want := range map[string][]string{
		"wss://h/ws?room=9527&Access_Token=t0ps3cret": {"t0ps3cret"},
		"wss://h/ws?sig=0123456789&sid=abcdef":        {"0123456789", "abcdef"},
		"wss://user:t0ps3cret@h":                      {"t0ps3cret"},
		"wss://t0ps3cret@h":                           {"t0ps3cret"},
	} {
		assert.ElementsMatch(t, want, secretsInURL(url), url)
	}
}

// A login that names a room does not change the messages of that room.
func TestALoginLeavesTypesAndRoomsAlone(t *testing.T) {
	for _, login := range []string{`{"op":"identify","room_id":9527}`, `{"msg_type":"join","room_id":"9527"}`} {
		assert.Equal(t, login, redact.New(secretsIn(login)...).Replace(login))
	}
}
