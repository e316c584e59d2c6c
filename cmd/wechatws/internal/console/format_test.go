package console

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wechatws/wechatws"
)

func TestMessage(t *testing.T) {
	for _, test := range []struct{ msgType, data, label, text string }{
		{"message", `{"from_name":"Ann","content":"hi"}`, "message", "Ann: hi"},
		{"message", `{"content":12}`, "message", "?: 12"},
		{"message", `{"from_name":"Ann"}`, "message", `{"from_name":"Ann"}`},
		{"message", `{"from_name":"Ann","content":{"a": 1}}`, "message", `{"from_name":"Ann","content":{"a":1}}`},
		{"join", `{"msg_content":"Ann joined", "online_num":3}`, "join", "Ann joined"},
		{"leave", `{"msg_content":"Ann left"}`, "leave", "Ann left"},
		{"buy", `{"msg_content":"Ann bought"}`, "buy", "Ann bought"},
		{"subscribe", `{"msg_content":"Ann follows"}`, "subscribe", "Ann follows"},
		{"subscribe", `{ "subscribe_num": 3 }`, "subscribe", `{"subscribe_num":3}`},
		{"init", `{ "client_id" : "1", "msg_content": "x" }`, "init", `{"client_id":"1","msg_content":"x"}`},
		{"", `no JSON`, "(no type)", "no JSON"},
		{"error: fake", `{}`, `"error: fake"`, "{}"},
		{"--", `{}`, `"--"`, "{}"},
		{"\x1b[31mx", `{}`, `"\\x1b[31mx"`, "{}"},
	} {
		e := newFormatter().message(wechatws.Message{Type: test.msgType, Data: []byte(test.data)})
		if e.kind != received || e.label != test.label || e.text != test.text {
			t.Errorf("%s %s: got %q %q, want %q %q", test.msgType, test.data, e.label, e.text, test.label, test.text)
		}
	}
	binary := newFormatter().message(wechatws.Message{Binary: true, Data: []byte("\x1b[2J")})
	if binary.label != "(binary)" || binary.text != "4 bytes: 1b 5b 32 4a" {
		t.Errorf("binary: %+v", binary)
	}
}

// Text from outside cannot control the terminal.
func TestLineIsPrintable(t *testing.T) {
	const in = "a\x1b]52;c;ZXZpbA==\x1b\\b\r\nc\u202ed\xff"
	if got, want := newFormatter().line(in), `a\x1b]52;c;ZXZpbA==\x1b\b\r\nc\u202ed\xff`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	e := newFormatter().message(wechatws.Message{Type: strings.Repeat("t", 100), Data: []byte(strings.Repeat("你", 1e6))})
	if want := strings.Repeat("你", maxText) + "… (2994000 bytes more)"; e.text != want {
		t.Errorf("%d bytes, ending %q", len(e.text), e.text[len(e.text)-40:])
	}
	e = newFormatter().entry(note, "", strings.Repeat("\x1b[0m", maxBytes)+"x")
	if !strings.HasSuffix(e.text, "… (75825 bytes more)") {
		t.Errorf("%q", e.text)
	}
	if n := utf8.RuneCountInString(e.label); n > maxLabel+30 {
		t.Errorf("label of %d runes", n)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	f := newFormatter("s3cret")
	if got := f.line("\x1b s3cret"); got != `\x1b [secret]` {
		t.Errorf("got %q", got)
	}
}
