package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// masked is a frame as a client sends it. The masked bytes of a text are valid text, too.
func masked(first byte, payload string) string {
	key := "\x01\x02\x03\x04"
	b := []byte(payload)
	for i := range b {
		b[i] ^= key[i&3]
	}
	return string([]byte{first, 0x80 | byte(len(b))}) + key + string(b)
}

// beyond is what Autobahn does not have.
func beyond() []testCase {
	valid := frame(fin|opText, hello)
	var many, echoes []string
	for i := range 300 {
		many = append(many, frame(fin|opText, fmt.Sprint(i)))
		echoes = append(echoes, text(fmt.Sprint(i)))
	}
	// The sizes at which buffers end, and those from which messages are compressed.
	var buffers []message
	same := closed()
	for i, size := range []int{1, 511, 512, 513, 4096, 65521, 65522, 300_000} {
		m := message{opText, strings.Repeat(fmt.Sprint(i), size)}
		buffers, same.frames = append(buffers, m), append(same.frames, m.String())
	}
	ended := outcome{close: "none", report: "peer 1006"}
	cases := []testCase{
		// A server must not mask: RFC 6455, section 5.1.
		{id: "masked.text", send: one(masked(fin|opText, "hello")), want: fails(1002)},
		{id: "masked.fragment", send: one(frame(opText, "hello"), masked(fin, "hello")), want: fails(1002)},
		{id: "masked.ping", send: one(masked(fin|opPing, "hello")), want: fails(1002)},
		{id: "masked.close", send: one(masked(fin|opClose, "\x03\xe8")), closes: true, want: fails(1002)},
		{id: "masked.empty", send: one(masked(fin|opText, "")), want: fails(1002)},

		{id: "length.negative", send: one("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), want: fails(1002)},
		{id: "http", send: one("HTTP/1.1 400 Bad Request\r\n\r\n"), want: fails(1002)},
		{id: "many", send: one(many...), want: closed(echoes...)},
		{id: "many.octets", send: one(many...), chop: byOctet, want: closed(echoes...)},

		{id: "buffers", messages: buffers, want: same},
		{id: "buffers.deflate", messages: buffers, compression: acceptAny, compresses: true, want: same},

		{id: "close.fragmented", send: one(frame(opClose, "\x03\xe8")), closes: true, want: fails(1002)},
		{id: "close.octets", send: one(closeFrame(4001, "kicked")), chop: byOctet, closes: true, want: closedBy(4001)},
		{id: "close.1015", send: one(closeFrame(1015, "")), closes: true, want: fails(1002)},
		{id: "close.after", send: groups{{valid}, {closeFrame(4001, "kicked")}}, closes: true,
			want: outcome{frames: []string{text(hello)}, close: "4001", report: "peer 4001"}},
		{id: "end", drops: true, want: ended},
		{id: "end.header", send: one(valid[:1]), drops: true, want: ended},
		{id: "end.payload", send: one(valid[:8]), drops: true, want: ended},
		{id: "end.big", send: one(frame(fin|opText, strings.Repeat("*", 100_000))[:70_000]), drops: true, want: ended},
		{id: "end.fragments", send: one(frame(opText, hello)), drops: true, want: ended},
		{id: "end.ping", send: one(frame(fin|opPing, hello)[:8]), drops: true, want: ended},
	}
	for _, code := range []int{1012, 1013, 1014} { // registered after RFC 6455
		cases = append(cases, testCase{id: fmt.Sprint("close.", code), send: one(closeFrame(code, "")), closes: true, want: closedBy(code)})
	}
	return cases
}

// repetitive is a message that compresses well.
var repetitive = strings.Repeat("context ", 20)

// beyondCompressed is what Autobahn does not have of RFC 7692.
func beyondCompressed() []testCase {
	// The examples of section 7.2.3, each of them "Hello".
	packed := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	stored := "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"
	final := "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
	blocks := "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"
	packedFrame := func(payload string) string { return frame(fin|rsv1|opText, payload) }
	echo := closed(text("Hello"))
	notText := "\x00\x02\x00\xfd\xff\xff\xfe\x00" // stored
	twice := newDeflate(true, false)              // refers to the first message in the second one
	defer twice.release()
	kept := groups{{packedFrame(twice.deflate(repetitive))}, {packedFrame(twice.deflate(repetitive))}}
	cases := []testCase{
		{id: "deflate.block", send: one(packedFrame(packed)), want: echo},
		{id: "deflate.fragments", send: one(frame(rsv1|opText, packed[:3]), frame(fin, packed[3:])), want: echo},
		{id: "deflate.octets", send: one(fragments(rsv1|opText, packed, 1)...), chop: byOctet, want: echo},
		{id: "deflate.ping", send: one(frame(rsv1|opText, packed[:3]), frame(fin|opPing, "ping"), frame(fin, packed[3:])), want: closed(pong("ping"), text("Hello"))},
		{id: "deflate.stored", send: one(packedFrame(stored)), want: echo},
		{id: "deflate.final", send: one(packedFrame(final)), want: echo},
		{id: "deflate.final-and-more", send: groups{{packedFrame(final)}, {packedFrame(packed)}}, want: closed(text("Hello"), text("Hello"))},
		{id: "deflate.blocks", send: one(packedFrame(blocks)), want: echo},
		{id: "deflate.empty", send: one(packedFrame("\x00"), packedFrame("\x02\x00")), want: closed(text(""), text(""))},
		{id: "deflate.plain", send: one(frame(fin|opText, "Hello")), want: echo},
		{id: "deflate.plain-fragments", send: one(frame(opText, "Hel"), frame(fin, "lo")), want: echo},
		{id: "deflate.plain-and-packed", send: one(frame(fin|opText, "Hello"), packedFrame(packed), frame(fin|opText, "Hello")), want: closed(slices.Repeat([]string{text("Hello")}, 3)...)},
		{id: "deflate.binary", send: one(frame(fin|rsv1|opBinary, packed)), want: closed(binaryMessage("Hello"))},
		{id: "deflate.not-UTF-8", send: one(packedFrame(notText), packedFrame(packed)), want: fails(1007), documented: tolerant(echo)},

		{id: "deflate.corrupt", send: one(packedFrame("\xff\xff\xff\xff")), want: fails(1007)},
		{id: "deflate.truncated", send: one(packedFrame(packed[:3])), want: fails(1007)},
		{id: "deflate.truncated-stored", send: one(packedFrame(stored[:8])), want: fails(1007)},
		{id: "deflate.context", send: kept, want: fails(1007, text(repetitive))},

		{id: "deflate.rsv1-of-continuation", send: one(frame(rsv1|opText, packed[:3]), frame(fin|rsv1, packed[3:])), want: fails(1002)},
		{id: "deflate.rsv1-of-ping", send: one(frame(fin|rsv1|opPing, "ping")), want: fails(1002)},
		{id: "deflate.rsv1-of-close", send: one(frame(fin|rsv1|opClose, "\x03\xe8")), closes: true, want: fails(1002)},
		{id: "deflate.rsv2", send: one(frame(fin|rsv1|rsv2|opText, packed)), want: fails(1002)},
		{id: "deflate.end", send: one(packedFrame(packed)[:5]), drops: true, want: outcome{close: "none", report: "peer 1006"}},
		{id: "deflate.window", compression: rule{{more: "server_max_window_bits=9"}}, send: one(packedFrame(packed)), want: echo},
	}
	// Some servers keep their context whatever the offer says, and say so.
	again := message{opText, repetitive}
	cases = append(cases, testCase{
		id: "deflate.takeover", compression: rule{{takeover: true}}, messages: []message{again, again},
		want: closed(text(repetitive), text(repetitive)),
	})
	for i := range cases {
		if cases[i].compression == nil {
			cases[i].compression = acceptAny
		}
	}
	return cases
}
