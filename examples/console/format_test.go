package main

import (
	"strings"
	"testing"
	"unicode"
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
		{"\x1b[31mx", `{}`, "x", "{}"},
	} {
		e := newFormatter("").message(wechatws.Message{Type: test.msgType, Data: []byte(test.data)})
		if e.kind != received || e.label != test.label || e.text != test.text {
			t.Errorf("%s %s: got %q %q, want %q %q", test.msgType, test.data, e.label, e.text, test.label, test.text)
		}
	}
	binary := newFormatter("").message(wechatws.Message{Binary: true, Data: []byte("\x1b[2J")})
	if binary.label != "(binary)" || binary.text != "4 bytes: 1b 5b 32 4a" {
		t.Errorf("binary: %+v", binary)
	}
}

// hostile is what a server would send to take over a terminal.
var hostile = []struct{ name, in, want string }{
	{"colour", "a\x1b[1;31mb\x1b[0mc", "abc"},
	{"clear the screen", "\x1b[2J\x1b[Ha", "a"},
	{"window title", "a\x1b]0;title\x07b", "ab"},
	{"clipboard", "a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"},
	{"hyperlink", "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"},
	{"device control", "a\x1bP$q\"p\x1b\\b", "ab"},
	{"alternate character set", "a\x1b(0b", "ab"},
	{"reset", "a\x1bcb", "ab"},
	{"C1 CSI", "a\u009b31mb", "ab"},
	{"C1 OSC", "a\u009d0;title\u009cb", "ab"},
	{"unfinished string hides nothing", "a\x1b]0;rest", "a0;rest"},
	{"unfinished CSI", "a\x1b[31", "a31"},
	{"bare escape", "a\x1b", "a"},
	{"a sequence around a sequence", "\x1b\x1b[0m[31ma", "[31ma"},
	{"backspace, bell, delete, nul", "a\b\a\x7f\x00b", "ab"},
	{"line ends and tabs", "a\r\nb\nc\td\u2028e\re", "a b c d e e"},
	{"right to left override", "a\u202egnp.exe", "agnp.exe"},
	{"zero width", "a\u200b\u2066\ufeffb", "ab"},
	{"broken UTF-8", "a\xffb\x9b31m", "a\uFFFDb\uFFFD31m"},
	{"pile of accents", "a" + strings.Repeat("\u0301", 50) + "b", "a" + strings.Repeat("\u0301", 4) + "b"},
	{"harmless", "你好 héllo 👋 <b>", "你好 héllo 👋 <b>"},
}

func TestClean(t *testing.T) {
	for _, test := range hostile {
		if got := clean(test.in); got != test.want {
			t.Errorf("%s: clean(%q) = %q, want %q", test.name, test.in, got, test.want)
		}
	}
}

func FuzzCleanLeavesNoControlCharacter(f *testing.F) {
	for _, test := range hostile {
		f.Add(test.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }) {
			t.Errorf("clean(%q) = %q", s, got)
		}
	})
}

func TestLongTextsAreCut(t *testing.T) {
	e := newFormatter("").message(wechatws.Message{Type: strings.Repeat("t", 100), Data: []byte(strings.Repeat("你", 1e6))})
	if want := strings.Repeat("你", maxText) + "… (2994000 bytes more)"; e.text != want {
		t.Errorf("%d bytes, ending %q", len(e.text), e.text[len(e.text)-40:])
	}
	e = newFormatter("").entry(note, "", strings.Repeat("\x1b[0m", maxBytes)+"x")
	if !strings.HasSuffix(e.text, "… (49153 bytes more)") {
		t.Errorf("%q", e.text)
	}
	if n := utf8.RuneCountInString(e.label); n > maxLabel+30 {
		t.Errorf("label of %d runes", n)
	}
}

func TestTheTokenIsNeverShown(t *testing.T) {
	const token = `s3"<cr/é`
	f := newFormatter(token)
	for _, in := range []string{
		token,
		"x" + token + "x" + token,
		`{"token":"s3\"<cr/é"}`,
		`{"token":"s3\"\u003ccr/é"}`,
		"GET /?token=s3%22%3Ccr%2F%C3%A9",
		"s3\x1b[0m\"\x00<cr/é", // hidden until the rest is cleaned away
	} {
		if got := f.line(in); strings.Contains(got, "s3") || !strings.Contains(got, "[token]") {
			t.Errorf("%q became %q", in, got)
		}
	}
	if got := newFormatter("").line("abc"); got != "abc" {
		t.Errorf("without a token: %q", got)
	}
}
