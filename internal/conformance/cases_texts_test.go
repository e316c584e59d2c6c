package conformance

import (
	"fmt"
	"strings"
)

// texts is section 6: UTF-8. RFC 6455 wants the connection to fail with 1007 at invalid text. A
// client with WithStrict does. By default it reports ErrNotUTF8 to OnError instead, calls no
// other callback with the message, and keeps the connection: the messages behind an invalid one
// still arrive.
func texts() []testCase {
	const (
		umlauts = "Hello-µ@ßöäüàá-UTF-8!!"
		greek   = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"
		// Half a surrogate pair, and a code point beyond the last one.
		surrogate = greek + "\xed\xa0\x80" + "edited"
		beyond    = greek + "\xf4\x90\x80\x80" + "edited"
	)
	next, barrier := frame(fin|opText, "next"), frame(fin|opPing, "")
	invalid := func(id string, send groups, chop int, before ...string) testCase {
		last := len(send) - 1
		send[last] = append(send[last], next)
		return testCase{
			id: id, send: send, chop: chop,
			want:       lenient(fails(1007, before...)),
			documented: tolerant(closed(append(before, text("next"))...)),
		}
	}
	parts := func(payloads ...string) (send groups) { // with a ping between two of them
		for i, payload := range payloads {
			first := byte(0)
			if i == 0 {
				first = opText
			}
			if i == len(payloads)-1 {
				send = append(send, []string{frame(first|fin, payload)})
			} else {
				send = append(send, []string{frame(first, payload), barrier})
			}
		}
		return send
	}
	// early is an invalid case of which a strict client answers the first ping only.
	early := func(c testCase) testCase {
		c.early = fails(1007, pong(""))
		return c
	}
	chopped := frame(fin|opText, beyond)
	cases := []testCase{
		{id: "6.1.1", send: one(frame(fin|opText, "")), want: closed(text(""))},
		{id: "6.1.2", send: one(frame(opText, ""), frame(0, ""), frame(fin, "")), want: closed(text(""))},
		{id: "6.1.3", send: one(frame(opText, ""), frame(0, "middle frame payload"), frame(fin, "")), want: closed(text("middle frame payload"))},
		{id: "6.2.1", send: one(frame(fin|opText, umlauts)), want: closed(text(umlauts))},
		{id: "6.2.2", send: one(frame(opText, umlauts[:15]), frame(fin, umlauts[15:])), want: closed(text(umlauts))},
		{id: "6.2.3", send: one(fragments(opText, umlauts, 1)...), want: closed(text(umlauts))},
		{id: "6.2.4", send: one(fragments(opText, greek, 1)...), want: closed(text(greek))},
		invalid("6.3.1", one(frame(fin|opText, surrogate)), atOnce),
		invalid("6.3.2", one(fragments(opText, surrogate, 1)...), atOnce),
		// The pongs show that the client has read the valid part, and then the invalid one. It
		// may fail there, without the second pong, or at the end of the message.
		early(invalid("6.4.1", parts(greek, beyond[11:15], beyond[15:]), atOnce, pong(""), pong(""))),
		early(invalid("6.4.2", parts(beyond[:12], beyond[12:13], beyond[13:]), atOnce, pong(""), pong(""))),
		invalid("6.4.3", one(chopped[:13], chopped[13:17], chopped[17:]), byFrame),
		invalid("6.4.4", one(chopped[:14], chopped[14:15], chopped[15:]), byFrame),
	}
	for _, s := range sequences(greek) {
		for i, payload := range s.payloads {
			id, message := fmt.Sprintf("6.%d.%d", s.section, i+1), frame(fin|opText, payload)
			if strings.Contains(s.invalid, fmt.Sprintf(" %d ", i+1)) || s.invalid == all {
				cases = append(cases, invalid(id, one(message), atOnce))
			} else {
				cases = append(cases, testCase{id: id, send: one(message), want: closed(text(payload))})
			}
		}
	}
	return cases
}

// all marks sequences of which each is invalid.
const all = "all"

// A sequence is a subsection of section 6: payloads, and the numbers of the invalid ones.
type sequence struct {
	section  int
	invalid  string
	payloads []string
}

// sequences is 6.5 to 6.23, by the rules of RFC 3629.
func sequences(greek string) []sequence {
	var prefixes []string
	for i := range len(greek) {
		prefixes = append(prefixes, greek[:i+1])
	}
	// spaced is the bytes from first up to last, with a space behind each.
	spaced := func(first, last byte) string {
		var b strings.Builder
		for ; first < last; first++ {
			b.Write([]byte{first, ' '})
		}
		return b.String()
	}
	var continuations strings.Builder
	for b := byte(0x80); b < 0xbf; b++ {
		continuations.WriteByte(b)
	}
	incomplete := []string{
		"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
	}
	noncharacters := []string{"\ufffe", "\uffff"}
	for plane := rune(0x10000); plane <= 0x100000; plane += 0x10000 {
		noncharacters = append(noncharacters, string(plane|0xfffe), string(plane|0xffff))
	}
	return []sequence{
		{5, "", []string{"hello\u0024world", "hello\u00a2world", "hello\u20acworld", "hello\U00024b62world", greek}},
		{6, " 1 3 4 6 8 10 ", prefixes},
		{7, "", []string{"\x00", "\u0080", "\u0800", "\U00010000"}},            // the first of each length
		{8, all, []string{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"}}, // of five and six bytes
		{9, "", []string{"\x7f", "\u07ff", "\uffff", "\U0010ffff"}},            // the last of each length
		{10, all, []string{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"}},
		{11, " 5 ", []string{"\ud7ff", "\ue000", "\ufffd", "\U0010ffff", "\xf4\x90\x80\x80"}}, // boundaries
		{12, all, []string{"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80",
			"\x80\xbf\x80\xbf\x80\xbf", continuations.String()}},
		{13, all, []string{spaced(0xc0, 0xdf), spaced(0xe0, 0xef), spaced(0xf0, 0xf7), spaced(0xf8, 0xfb), spaced(0xfc, 0xfd)}},
		{14, all, incomplete},
		{15, all, []string{strings.Join(incomplete, "")}},
		{16, all, []string{"\xfe", "\xff", "\xfe\xfe\xff\xff"}},
		{17, all, []string{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"}}, // overlong
		{18, all, []string{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"}},
		{19, all, []string{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"}},
		{20, all, []string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"}}, // surrogates
		{21, all, []string{"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf",
			"\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"}},
		{22, "", noncharacters},
		{23, "", []string{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"}},
	}
}
