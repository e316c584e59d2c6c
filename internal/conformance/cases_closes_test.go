package conformance

import (
	"fmt"
	"strings"
)

// big is the first message of 7.1.6.
var big = strings.Repeat("BAsd7&jh23", 26215)[:256<<10]

// closes is section 7: close frames, their codes and reasons. Where a client may either drop the
// connection or answer 1002, this one answers.
func closes() []testCase {
	normal, ping := closeFrame(1000, ""), frame(fin|opPing, "")
	noCode := outcome{close: "empty", report: "peer 1005"}
	// In 7.1.6 the close frame may be processed before the echoes are written.
	cases := []testCase{
		{id: "7.1.1", send: one(frame(fin|opText, hello)), want: closed(text(hello))},
		{id: "7.1.2", send: one(normal, frame(fin|opClose, "")), closes: true, want: closed()},
		{id: "7.1.3", send: one(normal, ping), closes: true, want: closed()},
		{id: "7.1.4", send: one(normal, frame(fin|opText, hello)), closes: true, want: closed()},
		{id: "7.1.5", send: one(frame(opText, "fragment1"), normal, frame(fin, "fragment2")), closes: true, want: closed()},
		{id: "7.1.6", send: one(frame(fin|opText, big), frame(fin|opText, hello), normal, ping), closes: true, want: lenient(closed(text(big), text(hello)))},
		{id: "7.3.1", send: one(frame(fin|opClose, "")), closes: true, want: noCode},
		{id: "7.3.2", send: one(frame(fin|opClose, "a")), closes: true, want: fails(1002)},
		{id: "7.3.3", send: one(normal), closes: true, want: closed()},
		{id: "7.3.4", send: one(closeFrame(1000, hello)), closes: true, want: closed()},
		{id: "7.3.5", send: one(closeFrame(1000, strings.Repeat("*", 123))), closes: true, want: closed()},
		{id: "7.3.6", send: one(closeFrame(1000, strings.Repeat("*", 124))), closes: true, want: fails(1002)},
		{id: "7.5.1", send: one(closeFrame(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited")), closes: true,
			// OnClose receives the peer's code, which tells more than that its reason is no text.
			want: outcome{close: "1007", report: "peer 1000"}},
	}
	code := func(section string, i, code int, want outcome) {
		cases = append(cases, testCase{id: fmt.Sprintf("%s.%d", section, i+1), send: one(closeFrame(code, "")), closes: true, want: want})
	}
	for i, valid := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		code("7.7", i, valid, closedBy(valid))
	}
	for i, invalid := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		code("7.9", i, invalid, fails(1002))
	}
	for i, undefined := range []int{5000, 65535} { // RFC 6455 leaves them open
		code("7.13", i, undefined, fails(1002))
	}
	return cases
}
