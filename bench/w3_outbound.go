package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/wechatws/wechatws"
)

// The messages of W3 are numbered, so that the server can check that all have arrived.
const (
	outboundHead = `{"msg_type":"message","n":`
	outboundTail = `,"content":"hello, room"}`
	howMany      = `{"msg_type":"how_many"}` // asks the server
)

// outboundNumber returns the number in a message of W3.
func outboundNumber(message []byte) (n int, ok bool) {
	rest, ok := bytes.CutPrefix(message, []byte(outboundHead))
	if !ok || len(rest) != 8+len(outboundTail) {
		return 0, false
	}
	for _, digit := range rest[:8] {
		n = n*10 + int(digit-'0')
	}
	return n, true
}

// outbound returns n messages, and the sum of their numbers.
func outbound(n int) (messages [][]byte, sum int) {
	size := len(outboundHead) + 8 + len(outboundTail)
	all := make([]byte, 0, n*size)
	for i := range n {
		number := 10_000_000 + i
		all = append(strconv.AppendInt(append(all, outboundHead...), int64(number), 10), outboundTail...)
		messages = append(messages, all[i*size:(i+1)*size:(i+1)*size])
		sum += number
	}
	return messages, sum
}

func (b *bench) outbound() []trial {
	n := b.times(200_000)
	var trials []trial
	for _, senders := range []int{1, 8} {
		trials = append(trials, trial{
			workload: "W3", title: fmt.Sprintf("outbound from %d at a time", senders),
			note: figure(float64(n), 0) + " messages of 59 bytes, until the server has counted them. Libraries that allow one writer have a mutex around it; " +
				"raw-gathered writes 64 KiB at a time; wechatws waits while its queue is full.",
			entries: entries(n, "raw", "raw-gathered", "gorilla", "coder", "nhooyr", "gobwas", "gws", "wechatws"),
			columns: []column{{metric: perSecond, spread: true}, {metric: cpuPer, spread: true, ratio: true, lead: true}, {metric: writesPer, digits: 4}, {metric: allocsPer, digits: 2}, {metric: bytesPer}},
			chart:   perSecond,
			run:     func(e entry) (result, error) { return b.outboundOnce(e, senders) },
		})
	}
	return trials
}

func (b *bench) outboundOnce(e entry, senders int) (result, error) {
	how := contenderOf(e.name)
	if e.name == "wechatws" {
		how.dial = func(url string) (conn, error) {
			return connectWechatws(url, nil, wechatws.WithQueue(1024, 4<<20, wechatws.QueueWait))
		}
	}
	c, err := how.dial(b.server.url("/count"))
	if err != nil {
		return nil, err
	}
	defer c.close()
	out := c
	if how.oneWriter && senders > 1 {
		out = &locked{conn: c}
	}
	messages, want := outbound(e.size)
	var counted struct{ N, Sum int }
	work := func() error {
		var group errgroup.Group
		for i := range senders {
			part := messages[i*len(messages)/senders : (i+1)*len(messages)/senders]
			group.Go(func() error {
				for _, m := range part {
					if err := out.send(m); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if client, ok := c.(wechatwsConn); ok {
			if err := client.client.Flush(context.Background()); err != nil {
				return err
			}
		}
		ask := func() error { return c.send([]byte(howMany)) }
		return receive(c, 1, ask, func(data []byte) error { return json.Unmarshal(data, &counted) })
	}
	r, err := measure(e.size, work)
	if err != nil {
		return nil, err
	}
	if counted.N != e.size || counted.Sum != want {
		return nil, fmt.Errorf("the server counted %d messages with the sum %d, want %d with %d", counted.N, counted.Sum, e.size, want)
	}
	return r, nil
}
