package conformance

import (
	"fmt"
	"strings"
)

const (
	hello  = "Hello, world!"
	bytes8 = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff" // not UTF-8
)

// framing is section 1: the sizes at which the header of a frame changes.
func framing() (cases []testCase) {
	for i, size := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
		chop := atOnce
		if i == 7 {
			chop = 997
		}
		stars, bytes := strings.Repeat("*", size), strings.Repeat("\xfe", size)
		cases = append(cases,
			testCase{id: fmt.Sprint("1.1.", i+1), send: one(frame(fin|opText, stars)), chop: chop, want: closed(text(stars))},
			testCase{id: fmt.Sprint("1.2.", i+1), send: one(frame(fin|opBinary, bytes)), chop: chop, want: closed(binaryMessage(bytes))},
		)
	}
	return cases
}

// pings is section 2.
func pings() []testCase {
	ping := func(payload string) string { return frame(fin|opPing, payload) }
	unsolicited := frame(fin|opPong, "unsolicited pong payload")
	full := strings.Repeat("\xfe", 125)
	var ten []string
	for i := range 10 {
		ten = append(ten, ping(fmt.Sprint("payload-", i)))
	}
	return []testCase{
		{id: "2.1", send: one(ping("")), want: closed(pong(""))},
		{id: "2.2", send: one(ping(hello)), want: closed(pong(hello))},
		{id: "2.3", send: one(ping(bytes8)), want: closed(pong(bytes8))},
		{id: "2.4", send: one(ping(full)), want: closed(pong(full))},
		{id: "2.5", send: one(ping(full + "\xfe")), want: fails(1002)},
		{id: "2.6", send: one(ping(full)), chop: byOctet, want: closed(pong(full))},
		{id: "2.7", send: one(frame(fin|opPong, "")), want: closed()},
		{id: "2.8", send: one(unsolicited), want: closed()},
		{id: "2.9", send: one(unsolicited, ping("ping payload")), want: closed(pong("ping payload"))},
		{id: "2.10", send: one(ten...), want: closed(tenPongs()...)},
		{id: "2.11", send: one(ten...), chop: byOctet, want: closed(tenPongs()...)},
	}
}

// reserved is sections 3 and 4: bits and opcodes without a meaning.
func reserved() []testCase {
	valid, ping := frame(fin|opText, hello), frame(fin|opPing, "")
	// after is a valid message, an invalid frame and a ping, which must not be answered.
	after := func(id string, chop int, invalid string) testCase {
		return testCase{id: id, send: groups{{valid}, {invalid, ping}}, chop: chop, want: fails(1002, text(hello)), nonStrict: true}
	}
	return []testCase{
		{id: "3.1", send: one(frame(fin|rsv3|opText, hello)), want: fails(1002)},
		after("3.2", atOnce, frame(fin|rsv2|opText, hello)),
		after("3.3", byFrame, frame(fin|rsv2|rsv3|opText, hello)),
		after("3.4", byOctet, frame(fin|rsv1|opText, hello)),
		{id: "3.5", send: one(frame(fin|rsv1|rsv3|opBinary, bytes8)), want: fails(1002)},
		{id: "3.6", send: one(frame(fin|rsv1|rsv2|opPing, hello)), want: fails(1002)},
		{id: "3.7", send: one(frame(fin|rsv1|rsv2|rsv3|opClose, "")), want: fails(1002)},

		{id: "4.1.1", send: one(frame(fin|3, "")), want: fails(1002)},
		{id: "4.1.2", send: one(frame(fin|4, "reserved opcode payload")), want: fails(1002)},
		after("4.1.3", atOnce, frame(fin|5, "")),
		after("4.1.4", atOnce, frame(fin|6, hello)),
		after("4.1.5", byOctet, frame(fin|7, hello)),
		{id: "4.2.1", send: one(frame(fin|11, "")), want: fails(1002)},
		{id: "4.2.2", send: one(frame(fin|12, "reserved opcode payload")), want: fails(1002)},
		after("4.2.3", atOnce, frame(fin|13, "")),
		after("4.2.4", atOnce, frame(fin|14, hello)),
		after("4.2.5", byOctet, frame(fin|15, hello)),
	}
}

// fragmented is section 5.
func fragmented() []testCase {
	part := func(first byte, n int) string { return frame(first, fmt.Sprint("fragment", n)) }
	ping := func(payload string) string { return frame(fin|opPing, payload) }
	two := []string{part(opText, 1), part(fin, 2)}
	interrupted := []string{part(opText, 1), ping("ping payload"), part(fin, 2)}
	whole := text("fragment1fragment2")
	// stray is a continuation of nothing.
	stray := func(first byte) []string {
		return []string{frame(first, "non-continuation payload"), frame(fin|opText, hello)}
	}
	repeated := func(first byte) []string {
		return []string{part(first, 1), part(opText, 2), part(fin, 3), part(first, 1), part(opText, 2), part(fin, 3)}
	}
	five := groups{
		{part(opText, 1), part(0, 2), ping("pongme 1!")},
		{part(0, 3), part(0, 4), ping("pongme 2!"), part(fin, 5)},
	}
	answers := closed(pong("pongme 1!"), pong("pongme 2!"), text("fragment1fragment2fragment3fragment4fragment5"))
	return []testCase{
		{id: "5.1", send: one(part(opPing, 1), part(fin, 2)), want: fails(1002)},
		{id: "5.2", send: one(part(opPong, 1), part(fin, 2)), want: fails(1002)},
		{id: "5.3", send: one(two...), want: closed(whole)},
		{id: "5.4", send: one(two...), chop: byFrame, want: closed(whole)},
		{id: "5.5", send: one(two...), chop: byOctet, want: closed(whole)},
		{id: "5.6", send: one(interrupted...), want: closed(pong("ping payload"), whole)},
		{id: "5.7", send: one(interrupted...), chop: byFrame, want: closed(pong("ping payload"), whole)},
		{id: "5.8", send: one(interrupted...), chop: byOctet, want: closed(pong("ping payload"), whole)},
		{id: "5.9", send: one(stray(fin)...), want: fails(1002)},
		{id: "5.10", send: one(stray(fin)...), chop: byFrame, want: fails(1002)},
		{id: "5.11", send: one(stray(fin)...), chop: byOctet, want: fails(1002)},
		{id: "5.12", send: one(stray(0)...), want: fails(1002)},
		{id: "5.13", send: one(stray(0)...), chop: byFrame, want: fails(1002)},
		{id: "5.14", send: one(stray(0)...), chop: byOctet, want: fails(1002)},
		{id: "5.15", send: groups{two, {part(0, 3), part(fin|opText, 4)}}, want: fails(1002, whole), nonStrict: true},
		{id: "5.16", send: one(repeated(0)...), want: fails(1002)},
		{id: "5.17", send: one(repeated(fin)...), want: fails(1002)},
		{id: "5.18", send: one(part(opText, 1), part(fin|opText, 2)), want: fails(1002)},
		{id: "5.19", send: five, want: answers},
		{id: "5.20", send: five, chop: byFrame, want: answers},
	}
}

// tenPongs are the answers of 2.10.
func tenPongs() (pongs []string) {
	for i := range 10 {
		pongs = append(pongs, pong(fmt.Sprint("payload-", i)))
	}
	return pongs
}
