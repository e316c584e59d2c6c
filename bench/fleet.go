package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wechatws/wechatws"
)

// A fleetTask is the task of a process with many idle clients. It has its own process, so
// that the heap contains nothing else.
type fleetTask struct {
	Port      string
	Contender string
	Shared    bool // one timer for all heartbeats
	Clients   int
	Beat      time.Duration
	Window    time.Duration
	Profile   string

	Storm  bool // lose the server, and reconnect
	Jitter float64
	Delay  time.Duration // before a reconnect
}

// fleetReport is the result of the process.
type fleetReport struct {
	KiB        float64 // heap and stacks, a client
	Goroutines float64 // a client
	CPU        float64 // percent of a core
}

// serveFleet is the fleet's process.
func serveFleet(task string) error {
	var t fleetTask
	if err := json.Unmarshal([]byte(task), &t); err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	if t.Storm {
		return t.storm()
	}
	report, err := t.rest()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

// rest opens the fleet, measures it for the window, and checks that all clients are still
// connected and have sent their heartbeats.
func (t fleetTask) rest() (r fleetReport, err error) {
	var ended atomic.Int64
	open := t.opener(func() { ended.Add(1) })
	// The first clients, and dialing in parallel, have a fixed cost in heap and stacks that
	// does not depend on the number of clients.
	first := min(atOnce, (t.Clients+1)/2)
	if err := openAll(0, first, open); err != nil {
		return r, err
	}
	baseMemory, baseGoroutines := inUse(), runtime.NumGoroutine()
	if err := openAll(first, t.Clients, open); err != nil {
		return r, err
	}
	inUse() // stacks grow while dialing, and shrink with each collection
	before, err := ask(t.Port)
	if err != nil {
		return r, err
	}
	if t.Profile != "" {
		f, err := os.Create(t.Profile)
		if err != nil {
			return r, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return r, err
		}
	}
	start, cpu := time.Now(), cpuTime()
	var goroutines []int
	for time.Since(start) < t.Window {
		time.Sleep(t.Window / 20)
		goroutines = append(goroutines, runtime.NumGoroutine()-baseGoroutines)
	}
	cpu = cpuTime() - cpu
	took := time.Since(start)
	pprof.StopCPUProfile()
	slices.Sort(goroutines)
	others := float64(max(1, t.Clients-first))
	r = fleetReport{
		KiB:        float64(inUse()-baseMemory) / 1024 / others,
		Goroutines: float64(goroutines[len(goroutines)/2]) / others,
		CPU:        100 * cpu.Seconds() / took.Seconds(),
	}
	if err := t.check(before, start); err != nil {
		return r, err
	}
	if n := ended.Load(); n != 0 {
		return r, fmt.Errorf("%d of %d clients have ended", n, t.Clients)
	}
	return r, nil
}

// inUse returns the memory of heap and stacks after garbage collections.
func inUse() int64 {
	for range 5 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// check asks the server whether it still has the same connections as at the start, and has
// received their heartbeats. On a slow machine they may arrive late, but must arrive.
func (t fleetTask) check(before census, start time.Time) error {
	want := int64(t.Clients) * int64(t.Window/t.Beat)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(t.Beat) {
		now, err := ask(t.Port)
		if err != nil {
			return err
		}
		beats, pings := now.Heartbeats-before.Heartbeats, now.Pings-before.Pings
		most := int64(t.Clients) * int64(time.Since(start)/t.Beat+2)
		switch anew := len(now.Accepts) - len(before.Accepts); {
		case now.Open != int64(t.Clients) || anew != 0:
			return fmt.Errorf("%d of %d clients are connected, %d came anew", now.Open, t.Clients, anew)
		case beats > most:
			return fmt.Errorf("%d heartbeats of %d clients in %v, want at most %d", beats, t.Clients, time.Since(start), most)
		case beats >= want && (pings > 0 || t.Window < 2*deadAfter/3):
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d heartbeats and %d pings of %d clients in %v, want %d at least", beats, pings, t.Clients, time.Since(start), want)
		}
	}
}

// atOnce is the number of clients that are opened at a time.
const atOnce = 32

// openAll opens the clients from and up to, not including, to.
func openAll(from, to int, open func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := from; i < to; i++ {
		group.Go(func() error { return open(i) })
	}
	return group.Wait()
}

// opener returns a function that opens one client, which stays open.
func (t fleetTask) opener(ended func()) func(i int) error {
	if t.Contender == "wechatws" {
		return func(i int) error { return t.openWechatws(i, ended) }
	}
	keep := everyTicker(t.Beat)
	if t.Shared {
		keep = newWheel(t.Beat).add
	}
	idle := contenderOf(t.Contender).idle
	return func(i int) error {
		beat, err := idle(serverURL(t.Port, i, "/idle"), ended)
		if err == nil {
			keep(beat)
		}
		return err
	}
}

func (t fleetTask) openWechatws(i int, ended func()) error {
	var options []wechatws.Option
	if t.Beat != usual {
		options = append(options, wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: t.Beat}))
	}
	_, err := connectWechatws(serverURL(t.Port, i, "/idle"), func(c *wechatws.Client) {
		c.OnClose(func(context.Context, wechatws.CloseEvent) { ended() })
	}, options...)
	return err
}

// everyTicker gives each client a goroutine with a ticker, as programs do.
func everyTicker(interval time.Duration) func(beat func() error) {
	return func(beat func() error) {
		go func() {
			for range time.Tick(interval) {
				if beat() != nil {
					return // the reader reports it
				}
			}
		}()
	}
}

// A wheel is one timer for all clients: it turns once in an interval, a tenth of a second at
// a time, and sends the heartbeats of the clients in the slot that it has reached.
type wheel struct {
	mu    sync.Mutex
	slots [][]func() error
	next  int // the slot for the next client
}

const slotTime = 100 * time.Millisecond

func newWheel(interval time.Duration) *wheel {
	w := &wheel{slots: make([][]func() error, interval/slotTime)}
	go w.turn()
	return w
}

func (w *wheel) add(beat func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slots[w.next] = append(w.slots[w.next], beat)
	w.next = (w.next + 1) % len(w.slots)
}

func (w *wheel) turn() {
	at := 0
	for range time.Tick(slotTime) {
		w.mu.Lock()
		due := w.slots[at]
		w.mu.Unlock()
		for _, beat := range due {
			_ = beat() // the reader reports an error
		}
		at = (at + 1) % len(w.slots)
	}
}

// storm opens the fleet and reports that, and reports again when all clients have lost their
// connections and have reconnected.
func (t fleetTask) storm() error {
	var opens atomic.Int64
	back := make(chan struct{})
	opened := func(context.Context, wechatws.OpenEvent) {
		if opens.Add(1) == int64(2*t.Clients) {
			close(back)
		}
	}
	var options []wechatws.Option
	if t.Jitter > 0 {
		options = append(options, wechatws.WithJitter(t.Jitter))
	}
	if t.Delay != usual {
		options = append(options, wechatws.WithTiers(wechatws.Tier{Delay: t.Delay}))
	}
	err := openAll(0, t.Clients, func(i int) error {
		_, err := connectWechatws(serverURL(t.Port, i, "/idle"), func(c *wechatws.Client) { c.OnOpen(opened) }, options...)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Println("open")
	select {
	case <-back:
	case <-time.After(time.Minute):
		return fmt.Errorf("%d of %d clients are back", int(opens.Load())-t.Clients, t.Clients)
	}
	fmt.Println("back")
	_, err = io.Copy(io.Discard, os.Stdin) // stay until the parent has asked the server
	return err
}
