package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/wechatws/wechatws/wstest"
)

// A fault is a failure for one client or for all. Its do reports whether it was possible.
type fault struct {
	name   string
	weight int
	do     func(t *trouble, v victim) bool
}

// A victim is a client with a connection, and a source of random numbers.
type victim struct {
	*client
	peer *peer
	rng  *rand.Rand
	n    int // number of the fault
}

// faults are all faults. A connection must survive a frame that is valid but contains invalid
// text, and a message that is too large: it is not recorded as harmed.
var faults = []fault{
	{"bare FIN", 30, func(_ *trouble, v victim) bool { return v.cut(wstest.FIN) }},
	{"RST", 30, func(_ *trouble, v victim) bool { return v.cut(wstest.RST) }},
	{"close frame", 30, closeFrame},
	{"half a frame, then nothing", 20, halfFrame},
	{"half-open", 20, halfOpen},
	{"stops reading for a while", 25, stopReading(func(v victim) { v.peer.ResumeReading() })},
	{"stops reading, then RST", 15, stopReading(func(v victim) { v.cut(wstest.RST) })},
	{"stops reading, then Close by the user", 10, stopReading(func(v victim) {
		v.bounce(0)
		v.peer.ResumeReading()
	})},
	{"says nothing, not even pong", 15, func(_ *trouble, v victim) bool {
		v.peer.harm()
		v.peer.mute.Store(true)
		v.peer.IgnorePings(true)
		return true
	}},
	{"pings ignored for a while", 15, ignorePings},
	{"server stops and starts", 2, restart},
	{"handshake: 502", 20, refusal(wstest.Status(http.StatusBadGateway, nil, "bad gateway"))},
	{"handshake: 503 with Retry-After", 15, refusal(wstest.Status(http.StatusServiceUnavailable, http.Header{"Retry-After": {"1"}}, "later"))},
	{"handshake: cut", 20, refusal(wstest.CutHandshake(wstest.RST))},
	{"handshake: half an answer", 10, refusal(wstest.Raw("HTTP/1.1 101 Switching Pro"))},
	{"handshake: never answered", 10, refusal(wstest.NoAnswer())},
	{"message too large", 15, func(_ *trouble, v victim) bool {
		return v.peer.SendJSON(packet{Type: news, Padding: padding(readLimit)}) == nil
	}},
	{"reserved bits", 10, harmful("\xF1\x02{}")},
	{"unknown opcode", 10, harmful("\x83\x02{}")},
	{"fragmented ping", 10, harmful("\x09\x00")},
	{"text that is not UTF-8", 15, harmless("\xC3\x28")},
	{"text that is not JSON", 15, harmless(`{"msg_type":"n`)},
	{"JSON with its keys twice", 15, harmless(`{"msg_type":"x","msg_type":"y"}`)},
	{"confirmations come twice", 15, func(_ *trouble, v victim) bool { v.peer.doubly.Store(true); return true }},
	{"Reconnect by the user", 15, func(_ *trouble, v victim) bool { return v.Reconnect() == nil }},
	{"Close in an outage, and Connect", 15, closeInOutage},
	{"Close and Connect by the user", 20, func(_ *trouble, v victim) bool {
		return v.bounce(time.Duration(v.rng.IntN(500)) * time.Millisecond)
	}},
}

func (v victim) cut(how wstest.Cut) bool {
	v.peer.harm()
	v.peer.Cut(how)
	return true
}

// codes are used in turn, so that no client receives a code often enough for it to become
// permanent.
var codes = []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4999}

func closeFrame(_ *trouble, v victim) bool {
	v.peer.harm()
	_ = v.peer.Close(codes[v.n%len(codes)], "go away") // another fault may have ended it
	return true
}

// halfFrame sends the header of a message below the read limit, and only a part of its payload.
func halfFrame(_ *trouble, v victim) bool {
	v.peer.harm()
	head := binary.BigEndian.AppendUint16([]byte{0x81, 126}, 60<<10)
	_ = v.peer.WriteRaw(append(head, `{"msg_type":"news"`...))
	v.peer.Blackhole(true)
	return true
}

func halfOpen(_ *trouble, v victim) bool {
	v.peer.harm()
	v.peer.Blackhole(true)
	return true
}

// ignorePings ignores pings for less than six liveness timeouts. A connection must survive it, since
// other messages arrive.
func ignorePings(t *trouble, v victim) bool {
	v.peer.IgnorePings(true)
	sleep(t.ctx, 3*liveness)
	if !v.peer.mute.Load() {
		v.peer.IgnorePings(false)
	}
	return true
}

// stopReading stops reading from a client, which shouts now and then, so that its socket fills
// up, and then calls end.
func stopReading(end func(victim)) func(*trouble, victim) bool {
	return func(t *trouble, v victim) bool {
		v.peer.harm()
		v.peer.StopReading()
		if v.rng.IntN(2) == 0 {
			v.shout(v.rng)
		}
		sleep(t.ctx, time.Duration(v.rng.IntN(5000))*time.Millisecond)
		end(v)
		return true
	}
}

func restart(t *trouble, v victim) bool {
	if !t.restarting.TryLock() {
		return false
	}
	defer t.restarting.Unlock()
	t.server.goingDown()
	t.server.Stop(wstest.Cut(v.rng.IntN(2)))
	sleep(t.ctx, time.Duration(v.rng.IntN(2000))*time.Millisecond)
	t.server.Start()
	t.server.goingUp()
	return true
}

// refusal ends the connection, and refuses the next handshakes, once or three times.
func refusal(a wstest.Answer) func(*trouble, victim) bool {
	return func(t *trouble, v victim) bool {
		for range 1 + 2*v.rng.IntN(2) {
			t.server.refuse(v.account.client, a)
		}
		return v.cut(wstest.FIN)
	}
}

// closeInOutage closes the client while it has no connection, so that messages are handed back.
func closeInOutage(t *trouble, v victim) bool {
	for range 5 {
		t.server.refuse(v.account.client, wstest.Status(http.StatusBadGateway, nil, "bad gateway"))
	}
	v.cut(wstest.RST)
	sleep(t.ctx, time.Duration(100+v.rng.IntN(400))*time.Millisecond)
	return v.bounce(0)
}

// harmful sends an invalid frame.
func harmful(frame string) func(*trouble, victim) bool {
	return func(_ *trouble, v victim) bool {
		v.peer.harm()
		return v.peer.WriteRaw([]byte(frame)) == nil
	}
}

// harmless sends a valid frame with a short text that is no message of this protocol. The
// client reports it to OnError.
func harmless(text string) func(*trouble, victim) bool {
	frame := append([]byte{0x81, byte(len(text))}, text...)
	return func(_ *trouble, v victim) bool { return v.peer.WriteRaw(frame) == nil }
}

// trouble makes faults, until its context ends.
type trouble struct {
	ctx        context.Context
	server     *server
	clients    []*client
	seed       uint64
	restarting sync.Mutex

	mu     sync.Mutex
	counts map[string]int
}

// make makes perSecond faults a second until the context ends, and returns when the last one
// is over.
func (t *trouble) make(perSecond float64) {
	var running sync.WaitGroup
	defer running.Wait()
	weights := 0
	for _, f := range faults {
		weights += f.weight
	}
	rng := rand.New(rand.NewPCG(t.seed, 0))
	mean := time.Duration(float64(time.Second) / perSecond)
	next := time.Now()
	for n := 0; ; n++ {
		next = next.Add(exponential(rng, mean))
		if !sleep(t.ctx, time.Until(next)) {
			return
		}
		f := pick(rng.IntN(weights))
		v := victim{rng: rand.New(rand.NewPCG(t.seed, uint64(n)+1)), n: n}
		if v.client, v.peer = t.anyone(rng); v.peer == nil {
			continue
		}
		running.Go(func() {
			if f.do(t, v) {
				t.count(f.name)
			}
		})
	}
}

// anyone returns a random client and the server's side of its connection; p is nil if it finds
// no client that is connected.
func (t *trouble) anyone(rng *rand.Rand) (c *client, p *peer) {
	for range 20 {
		c = t.clients[rng.IntN(len(t.clients))]
		if p = t.server.current(c.account.client); p != nil {
			break
		}
	}
	return c, p
}

func pick(at int) fault {
	for _, f := range faults {
		if at -= f.weight; at < 0 {
			return f
		}
	}
	panic("beyond the weights")
}

func (t *trouble) count(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[name]++
}

func (t *trouble) sum() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, of := range t.counts {
		n += of
	}
	return n
}
