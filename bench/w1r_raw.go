package main

import "fmt"

func (b *bench) rawCallback() []trial {
	return []trial{{
		workload: "W1r", title: "raw callback",
		note:    "The same messages, bytes only. -reuse reads into one buffer, and for coder with a context that cannot end; -nocopy is OnMessageNoCopy.",
		entries: entries(b.times(200_000), "raw", "gorilla", "gorilla-reuse", "coder", "coder-reuse", "nhooyr", "gobwas", "gws", "wechatws", "wechatws-nocopy"),
		columns: []column{{metric: cpuPer, spread: true, ratio: true, lead: true}, {metric: wallPer}, {metric: allocsPer, digits: 2}, {metric: bytesPer}, {metric: readsPer, digits: 3}},
		chart:   cpuPer,
		run:     b.rawCallbackOnce,
	}}
}

func (b *bench) rawCallbackOnce(e entry) (result, error) {
	c, err := contenderOf(e.name).dial(b.server.url(fmt.Sprintf("/feed?n=%d", e.size)))
	if err != nil {
		return nil, err
	}
	defer c.close()
	t := newTally(e.size)
	r, err := measure(e.size, func() error {
		return receive(c, e.size, func() error { return c.send(begin) }, func(data []byte) error {
			t.raw(data)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return r, room().check(t, false)
}
