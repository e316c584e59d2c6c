package conformance

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// sizes is sections 9 and 10: large messages, in one frame, in fragments and in pieces, and
// many small ones. Because of the race detector there is one text of 16 MiB; the other sizes
// above 1 MiB are a sixteenth of Autobahn's, and 20 small messages take the place of 1000.
func sizes() (cases []testCase) {
	const k, m = 1 << 10, 1 << 20
	letters := strings.Repeat("BAsd7&jh23", 16*m/10+1)
	bytes := strings.Repeat("\x00\xfe\x23\xfa\xf0", m/5+1)
	// both adds a case with text and one with the same number of bytes.
	both := func(sections [2]int, i, size, count int, c testCase) {
		for kind, data := range []string{letters, bytes} {
			c.id = fmt.Sprintf("9.%d.%d", sections[kind], i+1)
			c.messages, c.want = nil, closed()
			for range count {
				next := message{byte(opText + kind), data[:size]}
				c.messages = append(c.messages, next)
				c.want.frames = append(c.want.frames, next.String())
			}
			cases = append(cases, c)
		}
	}
	for i, size := range []int{64 * k, 256 * k, m, 4 * m / 16, 8 * m / 16} {
		both([2]int{1, 2}, i, size, 1, testCase{})
	}
	for id, largest := range map[string]message{"9.1.6": {opText, letters[:16*m]}, "9.2.6": {opBinary, bytes[:16*m/16]}} {
		cases = append(cases, testCase{id: id, messages: []message{largest}, want: closed(largest.String())})
	}
	for i, size := range []int{64, 256, k, 4 * k, 16 * k, 64 * k, 128 * k, 192 * k, 4 * m / 16} {
		both([2]int{3, 4}, i, 4*m/16, 1, testCase{fragment: size})
	}
	for i, size := range []int{64, 128, 256, 512, 1024, 2048} {
		both([2]int{5, 6}, i, m/8, 1, testCase{chop: size})
	}
	for i, size := range []int{0, 16, 64, 256, 1024, 4096} {
		both([2]int{7, 8}, i, size, 20, testCase{})
	}
	stars := message{opText, strings.Repeat("*", 65536)}
	return append(cases, testCase{id: "10.1.1", messages: []message{stars}, fragment: 1300, want: closed(stars.String())})
}

// compressed is sections 12 and 13: compressed messages of several kinds, and of one kind with
// several parameters. A case has one to four messages, where Autobahn sends 1000. Only 12.1 and
// 13.1 have whole messages above 8 KiB, up to Autobahn's 128 KiB.
func compressed() (cases []testCase) {
	shapes := []struct{ size, fragment int }{
		{16, 0}, {64, 0}, {256, 0}, {1024, 0}, {4096, 0}, {8192, 0}, {16384, 0}, {32768, 0}, {65536, 0}, {131072, 0},
		{8192, 256}, {16384, 256}, {32768, 256}, {65536, 256}, {131072, 256}, {131072, 1024}, {131072, 4096}, {131072, 32768},
	}
	section := func(name string, opcode byte, data string, r rule) {
		at := 0
		for i, shape := range shapes {
			count := min(max(16384/shape.size, 1), 4)
			if !strings.HasSuffix(name, ".1") || shape.fragment > 0 {
				shape.size = min(shape.size, 8192)
			}
			c := testCase{id: fmt.Sprintf("%s.%d", name, i+1), fragment: shape.fragment, compression: r, want: closed()}
			for range count {
				if at += shape.size; at+shape.size > len(data) {
					at = 0
				}
				m := message{opcode, data[at:][:shape.size]}
				c.messages = append(c.messages, m)
				c.want.frames = append(c.want.frames, m.String())
			}
			c.compresses = opcode == opText && shape.size >= 4096
			cases = append(cases, c)
		}
	}
	records := jsonRecords(256 << 10)
	section("12.1", opText, records, acceptAny)
	section("12.2", opBinary, bitmap(256<<10), acceptAny)
	section("12.3", opBinary, prose(256<<10), acceptAny)
	section("12.4", opText, html(256<<10), acceptAny)
	section("12.5", opBinary, noise(256<<10), acceptAny)
	for i, r := range []rule{
		{{}},
		{{noContext: true}},
		{{bits: 9}},
		{{bits: 15}},
		{{noContext: true, bits: 9}},
		{{noContext: true, bits: 15}},
		{{noContext: true, bits: 9}, {noContext: true}, {}},
	} {
		section(fmt.Sprint("13.", i+1), opText, records, r)
	}
	return cases
}

// The kinds of data of section 12.

func random() *rand.Rand { return rand.New(rand.NewPCG(12, 13)) }

func fill(size int, next func(r *rand.Rand) string) string {
	var b strings.Builder
	for r := random(); b.Len() < size; {
		b.WriteString(next(r))
	}
	return b.String()[:size]
}

func word(r *rand.Rand) string {
	return strings.Fields("und der Geist die Welt wäre über nicht als Größe ewig Licht stürzt fühlt Tür")[r.IntN(15)]
}

func jsonRecords(size int) string {
	return fill(size, func(r *rand.Rand) string {
		b, _ := json.Marshal(map[string]any{"id": r.IntN(1e6), "score": r.Float64(), "active": r.IntN(2) == 0, "tags": []int{r.IntN(9), r.IntN(9)}})
		return string(b) + ","
	})
}

func bitmap(size int) string {
	level := 128
	return fill(size, func(r *rand.Rand) string {
		level += r.IntN(7) - 3
		return string([]byte{byte(level)})
	})
}

func prose(size int) string {
	return fill(size, func(r *rand.Rand) string { return word(r) + " ,.\n"[:1+r.IntN(2)] })
}

func html(size int) string {
	return fill(size, func(r *rand.Rand) string {
		return fmt.Sprintf("<tr class=\"row\"><td>%d</td><td><a href=\"/item/%d\">item</a></td></tr>\n", r.IntN(1000), r.IntN(1e6))
	})
}

func noise(size int) string {
	return fill(size, func(r *rand.Rand) string { return string([]byte{byte(r.Uint32())}) })
}
