//go:build linux

package attacks

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// An attack is what a hostile server does.
type attack struct {
	name  string
	task  task // of the client
	times int  // connections that are attacked
	do    func(a attack, v *victim)
	// whole: afterwards another message may follow on the last connection, and the costs are
	// measured when its callback has been called. Otherwise they are when do has returned.
	whole bool
	deaf  bool // the server does not read
	short bool // with -short too
}

// flood is an attack on an open connection, after which it is still open.
func flood(name string, of task, do func(v *victim) bool) attack {
	return attack{name: name, task: of, times: 1, whole: true, do: func(a attack, v *victim) {
		if v.greet(a.task) {
			do(v)
		}
	}}
}

// messages is a flood of one message n times.
func messages(name string, of task, n int, payload func(i int) string) attack {
	return flood(name, of, func(v *victim) bool {
		for i := range n {
			if !v.say(message(payload(i))) {
				return false
			}
		}
		return true
	})
}

// frames is a flood of n frames.
func frames(name string, n int, frame string) attack {
	return flood(name, task{}, func(v *victim) bool { return v.repeat(frame, n) })
}

// response is an attack by the answer to a handshake: a beginning, and what is repeated every so
// often until the client is gone.
func response(name, beginning, again string, every time.Duration) attack {
	return attack{name: name, times: 3, do: func(_ attack, v *victim) {
		n := 1
		if every == 0 {
			n = max(1, 64<<10/len(again))
		}
		for ok := v.say(beginning); ok; ok = v.repeat(again, n) {
			time.Sleep(every)
		}
	}}
}

const mib = 1 << 20

// padded returns a JSON message of n bytes, made of a beginning and an end and of what is repeated
// in between.
func padded(n int, beginning, again, end string) string {
	return beginning + strings.Repeat(again, (n-len(beginning)-len(end))/len(again)) + end
}

// deflated returns a compressed message.
func deflated(write func(w *flate.Writer)) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	write(w)
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// bomb is a GiB in a MiB.
var bomb = sync.OnceValue(func() string {
	part := deflated(func(w *flate.Writer) { _, _ = w.Write(make([]byte, mib)) }) + "\x00\x00\xff\xff"
	return strings.TrimSuffix(strings.Repeat(part, 1<<10), "\x00\x00\xff\xff")
})

// zipped is 64 MiB in 64 KiB.
func zipped() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(make([]byte, 64*mib))
	_ = w.Close()
	return b.String()
}

func attacks() []attack {
	compress, room, any, block := task{Compress: true}, task{Room: true}, task{Any: true}, task{Block: true}
	long := strings.Repeat("x", mib-200)
	brief := func(a attack) attack { a.short = true; return a }
	return []attack{
		brief(flood(idle, task{}, func(*victim) bool { return true })),
		brief(attack{name: "messages of 1 GiB, compressed to 1 MiB", task: compress, times: 5, do: func(a attack, v *victim) {
			if v.greet(a.task) && v.say(frame(fin|compressed|text, bomb())) {
				_ = v.Conn.(*net.TCPConn).CloseWrite()
				<-v.gone // otherwise what it holds of the message counts
			}
		}}),
		flood("50 messages of 1 MiB, compressed to 1 KiB", compress, func(v *victim) bool {
			payload := padded(mib, `{"msg_type":"x","a":"`, "x", `"}`)
			return v.repeat(frame(fin|compressed|text, deflated(func(w *flate.Writer) { _, _ = w.Write([]byte(payload)) })), 50)
		}),
		brief(messages("messages of 1 MiB, and the callback does not return", block, 10, func(int) string {
			return padded(mib, `{"msg_type":"block","a":"`, "x", `"}`)
		})),
		flood("500,000 empty fragments", task{}, func(v *victim) bool {
			return v.say(frame(text, "")) && v.repeat(frame(continuation, ""), 500_000) && v.say(frame(fin|continuation, ""))
		}),
		flood("500,000 fragments of one byte", task{}, func(v *victim) bool {
			return v.say(frame(text, "")) && v.repeat(frame(continuation, "x"), 500_000) && v.say(frame(fin|continuation, ""))
		}),
		{name: "500,000 fragments of one byte, and no final fragment", times: 1, deaf: true, do: func(a attack, v *victim) {
			if v.greet(a.task) && v.say(frame(text, "")) && v.repeat(frame(continuation, "x"), 500_000) && v.say(frame(fin|ping, "")) {
				_, _ = v.r.ReadBytes(fin | pong) // all of it has been read
			}
		}},
		frames("100,000 pings of 125 bytes", 100_000, frame(fin|ping, strings.Repeat("x", 125))),
		frames("300,000 empty pings", 300_000, frame(fin|ping, "")),
		{name: "100,000 pings of 125 bytes, and the pongs are not read", times: 1, whole: true, deaf: true, do: func(a attack, v *victim) {
			if v.greet(a.task) {
				v.repeat(frame(fin|ping, strings.Repeat("x", 125)), 100_000)
			}
		}},
		frames("300,000 pongs", 300_000, frame(fin|pong, "")),
		frames("200,000 empty messages", 200_000, message("")),
		brief(messages("40 types of 1 MiB", task{}, 40, func(i int) string { return fmt.Sprintf(`{"msg_type":"%d%s"}`, i, long) })),
		messages("5 messages of 1 MiB of {}, decoded as any", any, 5, func(int) string {
			return padded(mib, `{"msg_type":"any","a":[{}`, `,{}`, `]}`)
		}),
		messages("50 messages with 9,990 levels, decoded as any", any, 50, func(int) string {
			return `{"msg_type":"any","a":` + strings.Repeat("[", 9_990) + strings.Repeat("]", 9_990) + "}"
		}),
		messages("10 numbers of 1 MiB, decoded as any", any, 10, func(int) string {
			return padded(mib, `{"msg_type":"any","a":1`, "1", `}`)
		}),
		messages("20 messages of 1 MiB of escaped keys before the type", task{}, 20, func(int) string {
			return padded(mib, `{`, `"\u0061\u0062\u0063\u0064\u0065\u0066":1,`, `"msg_type":"x"}`)
		}),
		brief(response("a handshake, byte by byte", "HTTP/1.1 101 Switching Protocols\r\nX: ", "x", 100*time.Millisecond)),
		response("a header without end", "HTTP/1.1 101 Switching Protocols\r\nX: ", "x", 0),
		response("headers without end", "HTTP/1.1 101 Switching Protocols\r\n", "X: x\r\n", 0),
		response("hints (1xx) without end", "", "HTTP/1.1 103 Early Hints\r\n\r\n", 0),
		response("a page without end", "HTTP/1.1 503 Service Unavailable\r\n\r\n", "welcome ", 0),
		response("pages of zeros, gzipped", "HTTP/1.1 503 Service Unavailable\r\nContent-Encoding: gzip\r\n\r\n", zipped(), 0),
		{name: "redirects without end", times: 12, do: func(_ attack, v *victim) {
			v.say("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
			v.Close()
		}},
		brief(messages("a room: 25 comments of 1 MiB", room, 25, func(int) string { return `{"msg_type":"message","from_name":"x","content":"` + long + `"}` })),
		messages("a room: 25 notices of 1 MiB", room, 25, func(int) string { return `{"msg_type":"buy","msg_content":"` + long + `"}` }),
		messages("a room: 25 goods of 1 MiB", room, 25, func(i int) string {
			return fmt.Sprintf(`{"msg_type":"on_off_shelf","status":"on","goods_id":%d,"goods_name":"%s"}`, i, long)
		}),
		messages("a room: 20,000 goods", room, 20_000, func(i int) string {
			return fmt.Sprintf(`{"msg_type":"on_off_shelf","status":"on","goods_id":%d,"goods_name":"x"}`, i)
		}),
		messages("a room: 10 histories of 1 MiB", room, 10, func(i int) string {
			return padded(mib, `{"msg_type":"join","client_id":"1","message_list":[{}`, `,{"a":1}`, `]}`)
		}),
		{name: "a room: 1,000 types of 4 KiB, and no init", task: room, times: 1, do: func(_ attack, v *victim) {
			v.upgrade(false)
			for i := range 1000 {
				v.say(message(fmt.Sprintf(`{"msg_type":"%d%s"}`, i, long[:4<<10])))
			}
			<-v.gone
		}},
	}
}
