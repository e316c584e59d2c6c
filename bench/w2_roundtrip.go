package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// parcel goes there and back: 60 bytes.
var parcel = []byte(`{"msg_type":"echo","content":"0123456789012345678901234567"}`)

func (b *bench) roundTrip() []trial {
	names := []string{"tcp", "raw", "gorilla", "coder", "nhooyr", "gobwas", "gws", "wechatws"}
	one := func(workload, title, note string, n int, pause time.Duration) trial {
		return trial{
			workload: workload, title: title, note: note,
			// Short and often: on which core the scheduler puts the two sides
			// decides much, and it tends to stay with a choice.
			rounds:  4 * b.rounds,
			entries: entries(n, names...),
			columns: []column{{metric: p50, digits: 1, spread: true, ratio: true}, {metric: p99, digits: 1, spread: true}, {metric: cpuPer}, {metric: allocsPer, digits: 2}},
			chart:   p50,
			run:     func(e entry) (result, error) { return b.roundTripOnce(e, pause) },
		}
	}
	return []trial{
		one("W2", "round trip", "A 60-byte text there and back, one at a time. tcp is the same number of bytes without any protocol. "+
			"Libraries with a call that reads are used in a loop; those that call back wake the goroutine that sends.", b.times(5_000), 0),
		one("W3", "a lone message", "The same with a pause of 2 ms before each: nothing waits to be gathered.", b.times(200), 2*time.Millisecond),
	}
}

var errAltered = errors.New("the echo is not what was sent")

func (b *bench) roundTripOnce(e entry, pause time.Duration) (result, error) {
	var c conn
	var err error
	if e.name == "tcp" {
		c, err = dialBytes(b.server)
	} else {
		c, err = contenderOf(e.name).dial(b.server.url("/echo"))
	}
	if err != nil {
		return nil, err
	}
	defer c.close()
	var (
		took = make([]time.Duration, 0, e.size)
		back = make(chan error, 1)
		wait func() error
	)
	arrived := func(data []byte) error {
		if !bytes.Equal(data, parcel) {
			return errAltered
		}
		return nil
	}
	switch c := c.(type) {
	case puller:
		wait = func() error {
			data, err := c.read()
			if err != nil {
				return err
			}
			return arrived(data)
		}
	case pusher:
		c.listen(func(data []byte) { back <- arrived(data) })
		wait = func() error { return <-back }
	}
	r, err := measure(e.size, func() error {
		for range e.size {
			time.Sleep(pause)
			start := time.Now()
			if err := c.send(parcel); err != nil {
				return err
			}
			if err := wait(); err != nil {
				return err
			}
			took = append(took, time.Since(start))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(took)
	r[p50] = took[len(took)/2].Seconds() * 1e6
	r[p99] = took[len(took)*99/100].Seconds() * 1e6
	return r, nil
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
