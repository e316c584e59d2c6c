package main

// scaling shows whether a message and a client cost the same, however many there are.
func (b *bench) scaling() []trial {
	messages := trial{
		workload: "W6", title: "cost of a message as messages grow",
		note:    "W1 with more and more messages on one connection; the floor is the smallest number.",
		rounds:  halved(b.rounds),
		columns: []column{{metric: cpuPer, spread: true, ratio: true}, {metric: wallPer, ratio: true}, {metric: allocsPer, digits: 2}, {metric: bytesPer}},
		chart:   cpuPer,
		run:     func(e entry) (result, error) { return b.dispatchOnce(plain, e) },
	}
	messages.entries = b.growing("messages", 20_000, "raw+"+defaultCodec, "wechatws")
	clients := trial{
		workload: "W6", title: "cost of a client as clients grow",
		note:    "W4 with more and more clients; the floor is the smallest number. The processor time is that of a whole fleet, for 1,000 clients.",
		rounds:  halved(b.rounds),
		columns: []column{{metric: kibPer, digits: 1, spread: true, ratio: true}, {metric: goroutines, digits: 2}, {metric: cpuThousand, digits: 2, spread: true, ratio: true}},
		chart:   kibPer,
		run: func(e entry) (result, error) {
			r, err := b.idleFleetOnce(e)
			if err == nil {
				r[cpuThousand] = r[cpuShare] * 1000 / float64(e.size)
			}
			return r, err
		},
	}
	clients.entries = b.growing("clients", 100, "wechatws")
	return []trial{messages, clients}
}

// growing returns each contender three times, with 1, 10 and 100 times as many.
func (b *bench) growing(of string, smallest int, names ...string) []entry {
	var all []entry
	for _, name := range names {
		label := func(n int) string { return name + ", " + figure(float64(b.times(n)), 0) + " " + of }
		for _, factor := range []int{1, 10, 100} {
			n := smallest * factor
			all = append(all, entry{name: name, size: b.times(n), label: label(n), floor: label(smallest)})
		}
	}
	return all
}
