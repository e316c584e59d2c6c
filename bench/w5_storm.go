package main

import (
	"fmt"
	"slices"
	"time"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// storms are the ways to reconnect.
var storms = []struct {
	label  string
	jitter float64
}{
	{"3 s, the default", 0},
	{"WithJitter(0.2)", 0.2},
	{"WithJitter(1)", 1},
}

func (b *bench) storm() []trial {
	n := b.times(2_000)
	arrivals := map[string][]time.Duration{} // since the server was killed, of the last round
	t := trial{
		workload: "W5", title: "storm",
		note:    figure(float64(n), 0) + " clients of one server that is killed and back after 2 s: how many of them it has to accept in the worst 100 ms, and how long it takes until all are back.",
		rounds:  halved(b.rounds),
		columns: []column{{metric: window100, spread: true}, {metric: windowPart, digits: 1}, {metric: allBack, digits: 2, spread: true}},
		draw:    func(path string) error { return drawArrivals(arrivals, path) },
	}
	jitter := map[string]float64{}
	for _, s := range storms {
		t.entries = append(t.entries, entry{name: "wechatws", label: s.label, size: n})
		jitter[s.label] = s.jitter
	}
	t.run = func(e entry) (result, error) {
		came, err := b.stormOnce(e.size, jitter[e.label])
		if err != nil {
			return nil, err
		}
		arrivals[e.label] = came
		most := busiest(came, 100*time.Millisecond)
		return result{
			window100:  float64(most),
			windowPart: 100 * float64(most) / float64(e.size),
			allBack:    came[len(came)-1].Seconds(),
		}, nil
	}
	return []trial{t}
}

// stormOnce returns when the clients reconnected, in order.
func (b *bench) stormOnce(clients int, jitter float64) ([]time.Duration, error) {
	server, err := startServer("")
	if err != nil {
		return nil, err
	}
	defer func() { server.kill() }()
	fleet, err := startFleet(fleetTask{Port: server.port, Clients: clients, Storm: true, Jitter: jitter, Delay: b.interval})
	if err != nil {
		return nil, err
	}
	defer fleet.kill()
	if _, err := fleet.line(); err != nil { // all are open
		return nil, err
	}
	killed := time.Now()
	server.kill()
	time.Sleep(b.interval*2/3 - time.Since(killed))
	again, err := startServer(server.port)
	if err != nil {
		return nil, err
	}
	server = again
	if _, err := fleet.line(); err != nil { // all have reconnected
		return nil, err
	}
	// The server counts a client after it has sent the answer that opens it.
	var c census
	for asked := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if c, err = ask(server.port); err != nil {
			return nil, err
		}
		if len(c.Accepts) >= clients && c.Open >= int64(clients) || time.Since(asked) > 5*time.Second {
			break
		}
	}
	if len(c.Accepts) != clients || c.Open != int64(clients) {
		return nil, fmt.Errorf("the server accepted %d and holds %d clients, want %d", len(c.Accepts), c.Open, clients)
	}
	var came []time.Duration
	for _, at := range c.Accepts {
		came = append(came, time.UnixMilli(at).Sub(killed))
	}
	slices.Sort(came)
	return came, nil
}

// busiest returns the largest number of arrivals within any window.
func busiest(sorted []time.Duration, window time.Duration) (most int) {
	from := 0
	for to, at := range sorted {
		for at-sorted[from] >= window {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// drawArrivals draws the number of arrivals in each tenth of a second.
func drawArrivals(arrivals map[string][]time.Duration, path string) error {
	p := newPlot("W5 storm: clients that came back in each 100 ms")
	p.X.Label.Text = "seconds since the server was killed"
	p.Legend.Top = true
	for i, s := range storms {
		came := arrivals[s.label]
		if len(came) == 0 {
			continue
		}
		counts := make(plotter.XYs, came[len(came)-1]/(100*time.Millisecond)+2)
		for slot := range counts {
			counts[slot].X = float64(slot) / 10
		}
		for _, at := range came {
			counts[max(0, at/(100*time.Millisecond))].Y++
		}
		line, err := plotter.NewLine(counts)
		if err != nil {
			return err
		}
		line.Color = plotutil.Color(i)
		line.Width = vg.Points(1.5)
		line.StepStyle = plotter.PostStep
		p.Add(line)
		p.Legend.Add(s.label, line)
	}
	return p.Save(18*vg.Centimeter, 9*vg.Centimeter, path)
}
