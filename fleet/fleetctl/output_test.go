package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNamesAreHarmless(t *testing.T) {
	w := newWorld(t)
	const evil = "a\x1b[31m\tb\n\u202ec\u009b"
	assert.Equal(t, 1, strings.Count(w.ctl("add", evil), "\n"))
	for _, out := range []string{w.ctl("rooms"), w.ctl("remove", evil)} {
		assert.Contains(t, out, `a\x1b[31m\tb\n\u202ec\u009b`)
	}
	_, errs, _ := w.try(t.Context(), "", "rooms", evil)
	assert.NotContains(t, errs, "\x1b")
}

func TestPlace(t *testing.T) {
	for endpoint, shown := range map[string]string{
		"wss://live.example.com/ws?token=x": "wss://live.example.com/ws?…",
		"wss://live.example.com/ws#token":   "wss://live.example.com/ws",
		"user:password@live.example.com/ws": "(not a URL)",
		"ws://u:p@live.example.com/ws":      "ws://live.example.com/ws",
		"ws://h/%zz":                        "(not a URL)",
		"room-9527":                         "room-9527",
		"":                                  "",
	} {
		assert.Equal(t, shown, place(endpoint))
	}
}
