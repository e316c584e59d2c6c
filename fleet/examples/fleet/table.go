package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/wechatws/wechatws/fleet"
)

// A table shows the workers during the show: in place on a terminal, and otherwise as one line a second.
type table struct {
	s     *show
	began time.Time

	mu    sync.Mutex
	lines int // number of lines to be overwritten
	had   map[string]fleet.WorkerStats
	at    time.Time
}

func (t *table) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				t.draw(ctx)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// says prints what happens now.
func (t *table) says(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.s.out, "%6.1f s  %s\n", time.Since(t.began).Seconds(), what)
	t.lines = 0
}

// ask requests the statistics of all workers at once: a worker that was just killed does not answer.
func (t *table) ask(ctx context.Context, all []*process) map[string]fleet.WorkerStats {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	now := map[string]fleet.WorkerStats{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, p := range all {
		asking.Go(func() {
			stats, err := t.s.fleet.Control().Stats(ctx, p.name)
			if errors.Is(err, fleet.ErrNoWorker) {
				return
			}
			if err != nil {
				stats = t.had[p.name]
			}
			mu.Lock()
			defer mu.Unlock()
			now[p.name] = stats
		})
	}
	asking.Wait()
	return now
}

func (t *table) draw(ctx context.Context) {
	all := t.s.all()
	now := t.ask(ctx, all)
	look, err := t.s.backend.look()
	if err != nil || ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	seconds := time.Since(t.at).Seconds()
	if t.at.IsZero() {
		seconds = time.Since(t.began).Seconds()
	}
	rows := []string{"          worker      rooms   open    in/s   out/s"}
	var line strings.Builder
	var in, out float64
	for _, p := range all {
		n, ok := now[p.name]
		if !ok {
			rows = append(rows, fmt.Sprintf("          %-9s %7s %6s %7s %7s  %s", p.name, "-", "-", "-", "-", p.fate.Load()))
			continue
		}
		i, o := float64(n.In-t.had[p.name].In)/seconds, float64(n.Out-t.had[p.name].Out)/seconds
		in, out = in+i, out+o
		rows = append(rows, fmt.Sprintf("          %-9s %7d %6d %7.0f %7.0f  %s", p.name, n.Rooms, n.Open, i, o, p.fate.Load()))
		fmt.Fprintf(&line, "%s %d, ", p.name, n.Rooms)
	}
	t.had, t.at = now, time.Now()
	sum := fmt.Sprintf("open %d, moving %d, in %.0f/s, out %.0f/s, held twice %d",
		len(look.In), t.s.rooms-len(look.In), in, out, look.Twice)
	if !t.s.live {
		fmt.Fprintf(t.s.out, "%6.1f s  %s%s\n", time.Since(t.began).Seconds(), line.String(), sum)
		return
	}
	rows = append(rows, "          "+sum)
	if t.lines > 0 {
		fmt.Fprintf(t.s.out, "\x1b[%dA\x1b[J", t.lines)
	}
	t.lines = len(rows)
	fmt.Fprintln(t.s.out, strings.Join(rows, "\n"))
}
