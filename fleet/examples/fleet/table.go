package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/wechatws/wechatws/fleet"
)

// A table shows the workers while the show goes on: in place on a terminal, and otherwise
// one line after the other.
type table struct {
	s     *show
	began time.Time

	mu    sync.Mutex
	title string
	lines int // drawn, and to be drawn over
	had   map[string]fleet.WorkerStats
	at    time.Time
}

func (t *table) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	every := 2 * time.Second
	if t.s.live {
		every = 500 * time.Millisecond
	}
	go func() {
		defer close(done)
		ticker := time.NewTicker(every)
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

// says tells what happens now.
func (t *table) says(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.title = what
	fmt.Fprintf(t.s.out, "%6.1f s  %s\n", time.Since(t.began).Seconds(), what)
	t.lines = 0
}

func (t *table) draw(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	now := map[string]fleet.WorkerStats{}
	for _, p := range t.s.all() {
		if stats, err := t.s.fleet.Control().Stats(asking, p.name); err == nil {
			now[p.name] = stats
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	seconds := time.Since(t.at).Seconds()
	rows := []string{"          worker     rooms   open   in/s  out/s"}
	for _, p := range t.s.all() {
		n, ok := now[p.name]
		if !ok {
			if t.s.live {
				rows = append(rows, fmt.Sprintf("          %-9s %6s %6s %6s %6s  %s", p.name, "-", "-", "-", "-", p.fate))
			}
			continue
		}
		had := t.had[p.name]
		rows = append(rows, fmt.Sprintf("          %-9s %6d %6d %6.0f %6.0f  %s", p.name, n.Rooms, n.Open,
			float64(n.In-had.In)/seconds, float64(n.Out-had.Out)/seconds, p.fate))
	}
	if t.at.IsZero() {
		rows = rows[:1]
	}
	t.had, t.at = now, time.Now()
	if t.s.live && t.lines > 0 {
		fmt.Fprintf(t.s.out, "\x1b[%dA\x1b[J", t.lines)
	}
	t.lines = len(rows)
	fmt.Fprintln(t.s.out, strings.Join(rows, "\n"))
}
