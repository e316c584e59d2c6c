package console

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		line string
		want action
	}{
		{"", action{}},
		{" \t", action{}},
		{"hello", action{say, "hello"}},
		{"  你好 / {x}  ", action{say, "你好 / {x}"}},
		{"//help is a command", action{say, "/help is a command"}},
		{`{"msg_type":"join","room_id":7}`, action{raw, `{"msg_type":"join","room_id":7}`}},
		{` { "a" : 1 }`, action{raw, `{ "a" : 1 }`}}, // the spaces inside stay as they are
		{"[1]", action{say, "[1]"}},
		{"/reconnect", action{verb: reconnect}},
		{"/close", action{verb: disconnect}},
		{"/connect", action{verb: connect}},
		{"/stats ", action{verb: stats}},
		{"/HELP", action{verb: showHelp}},
		{"/quit", action{verb: quit}},
	} {
		if got, err := parse(test.line); err != nil || got != test.want {
			t.Errorf("parse(%q) = %v, %v; want %v", test.line, got, err, test.want)
		}
	}
}

func TestParseErrorsSayWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"/foo", `unknown command "/foo"; /help lists the commands`},
		{"/", `unknown command "/"`},
		{"/\x1b[31m", `unknown command "/\x1b[31m"`},
		{"/quit now", "/quit takes nothing after it"},
		{`{"a":x}`, "not sent, not valid JSON at byte 6"},
		{`{"a":1`, "not sent, not valid JSON at byte 6"},
		{`{} {}`, "not sent, not valid JSON at byte 4"},
	} {
		if got, err := parse(test.line); err == nil || !strings.Contains(err.Error(), test.want) || got != (action{}) {
			t.Errorf("parse(%q) = %v, %v; want an error with %q", test.line, got, err, test.want)
		}
	}
}
