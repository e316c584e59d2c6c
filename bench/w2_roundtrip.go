package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
)

// parcel is the message of a round trip: 60 bytes.
var parcel = []byte(`{"msg_type":"echo","content":"0123456789012345678901234567"}`)

func (b *bench) roundTrip() []trial {
	names := []string{"tcp", "raw", "gorilla", "coder", "nhooyr", "gobwas", "gws", "gws-wake", "wechatws", "wechatws-wake", "wechatws-request"}
	one := func(workload, title, note string, n int, pause time.Duration) trial {
		return trial{
			workload: workload, title: title, note: note,
			// Many short rounds: the result depends on the cores that the scheduler
			// chooses for the two sides, and it rarely changes its choice.
			rounds:  4 * b.rounds,
			entries: entries(n, names...),
			columns: []column{{metric: p50, digits: 1, spread: true, ratio: true}, {metric: p99, digits: 1, spread: true}, {metric: cpuPer}, {metric: allocsPer, digits: 2}},
			chart:   p50,
			run:     func(e entry) (result, error) { return b.roundTripOnce(e, pause) },
		}
	}
	return []trial{
		one("W2", "round trip", "A 60-byte text there and back, one at a time. tcp is the same number of bytes without any protocol. "+
			"The next message is sent by the receiver of the last: the goroutine that reads, or the callback. With -wake the callback wakes another goroutine, which sends; "+
			"-request is Client.Request.", b.times(5_000), 0),
		one("W3", "a lone message", "The same with a pause of 2 ms before each: nothing waits to be gathered.", b.times(200), 2*time.Millisecond),
	}
}

var errAltered = errors.New("the echo is not what was sent")

func (b *bench) roundTripOnce(e entry, pause time.Duration) (result, error) {
	var c conn
	var err error
	name, how, _ := strings.Cut(e.name, "-")
	if name == "tcp" {
		c, err = dialBytes(b.server)
	} else {
		c, err = contenderOf(name).dial(b.server.url("/echo"))
	}
	if err != nil {
		return nil, err
	}
	defer c.close()
	trip := roundTrip{conn: c, n: e.size, pause: pause, took: make([]time.Duration, 0, e.size)}
	var work func() error
	switch c := c.(type) {
	case puller:
		work = func() error { return trip.inALoop(c.read) }
	case pusher:
		switch how {
		case "request":
			work = func() error { return trip.byRequest(c.(wechatwsConn).client) }
		case "wake":
			back := make(chan []byte, 1)
			c.listen(func(data []byte) { back <- bytes.Clone(data) })
			work = func() error { return trip.inALoop(func() ([]byte, error) { return <-back, nil }) }
		default:
			work = func() error { return trip.inCallbacks(c) }
		}
	}
	r, err := measure(e.size, work)
	if err != nil {
		return nil, err
	}
	slices.Sort(trip.took)
	r[p50] = trip.took[len(trip.took)/2].Seconds() * 1e6
	r[p99] = trip.took[len(trip.took)*99/100].Seconds() * 1e6
	return r, nil
}

// A roundTrip sends the parcel n times, and records how long each took.
type roundTrip struct {
	conn
	n     int
	pause time.Duration // before each
	took  []time.Duration
	start time.Time
}

func (t *roundTrip) leave() error {
	time.Sleep(t.pause)
	t.start = time.Now()
	return t.send(parcel)
}

func (t *roundTrip) arrived(data []byte) error {
	t.took = append(t.took, time.Since(t.start))
	if !bytes.Equal(data, parcel) {
		return errAltered
	}
	return nil
}

func (t *roundTrip) inALoop(wait func() ([]byte, error)) error {
	for range t.n {
		if err := t.leave(); err != nil {
			return err
		}
		data, err := wait()
		if err != nil {
			return err
		}
		if err := t.arrived(data); err != nil {
			return err
		}
	}
	return nil
}

func (t *roundTrip) inCallbacks(c pusher) error {
	over := make(chan error, 1)
	c.listen(func(data []byte) {
		err := t.arrived(data)
		if err == nil && len(t.took) < t.n {
			err = t.leave()
		}
		if err != nil || len(t.took) == t.n {
			over <- err
		}
	})
	if err := t.leave(); err != nil {
		return err
	}
	return <-over
}

func (t *roundTrip) byRequest(client *wechatws.Client) error {
	isEcho := func(m wechatws.Message) bool { return m.Type == "echo" }
	for range t.n {
		time.Sleep(t.pause)
		t.start = time.Now()
		answer, err := client.Request(context.Background(), json.RawMessage(parcel), isEcho)
		if err != nil {
			return err
		}
		if err := t.arrived(answer.Data); err != nil {
			return err
		}
	}
	return nil
}

// bytesConn sends and reads as many bytes as the parcel's frames have.
type bytesConn struct {
	net.Conn
	out, in []byte
}

func dialBytes(s *serverProcess) (conn, error) {
	out, in := appendMasked(nil, opText, parcel), appendFrame(nil, opText, parcel)
	c, err := upgrade(s.url(fmt.Sprintf("/tcp?in=%d&out=%d", len(out), len(in))))
	return &bytesConn{c, out, in}, err
}

func (c *bytesConn) send([]byte) error {
	_, err := c.Write(c.out)
	return err
}

func (c *bytesConn) read() ([]byte, error) {
	_, err := io.ReadFull(c.Conn, c.in)
	return parcel, err
}

func (c *bytesConn) close() { c.Close() }
