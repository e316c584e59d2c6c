package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/freeport"
)

const (
	// outage is the longest time that a client may be without a connection while there are
	// faults.
	outage = 30 * time.Second
	// recovery is the longest time from the last fault to a confirmed message of a client:
	// the liveness timeout, a dial without an answer, the longest wait, and as much again
	// for a busy machine.
	recovery = 15 * time.Second
)

// A trial is one run.
type trial struct {
	clients         int
	length          time.Duration
	seed            uint64
	report          time.Duration
	faultsPerSecond float64
	out             io.Writer
}

// run returns the first invariant that was broken.
func (t trial) run() error {
	addr, err := freeport.Addr("127.0.0.1") // before the census: with the first socket the runtime opens files that stay open
	if err != nil {
		return err
	}
	start := takeCensus()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)

	stalls := new(stalls)
	go stalls.watch(ctx)
	accounts := make([]*account, t.clients)
	for i := range accounts {
		accounts[i] = newAccount(i, cancel)
		accounts[i].stalls = stalls
	}
	server := newServer(addr, accounts)
	clients := make([]*client, t.clients)
	for i := range clients {
		var err error
		if clients[i], err = newClient(server.clientURL(i), accounts[i]); err != nil {
			return err
		}
	}
	trouble := &trouble{server: server, clients: clients, seed: t.seed, counts: map[string]int{}}
	sheet := newSheet(t.out, accounts, trouble)

	// After a failure the rest may be unable to end in order.
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.play(ctx, sheet, server, clients, trouble)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	cancel(nil)
	if err := backTo(start, 10*time.Second); err != nil {
		return err
	}
	sheet.summary()
	return nil
}

// play runs the trial, until its end or until ctx ends.
func (t trial) play(ctx context.Context, sheet *sheet, server *server, clients []*client, trouble *trouble) {
	each(clients, func(c *client) { c.connect() })

	watching, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { t.watch(watching, sheet, clients) })

	talking, hush := context.WithCancel(ctx)
	var talks sync.WaitGroup
	for i, c := range clients {
		talks.Go(func() { c.talk(talking, rand.New(rand.NewPCG(t.seed, uint64(i)<<32|1<<31))) })
		talks.Go(func() { c.insist(talking, rand.New(rand.NewPCG(t.seed, uint64(i)<<32|1<<30))) })
	}

	var calm context.CancelFunc
	trouble.ctx, calm = context.WithTimeout(ctx, t.length)
	// Faults under way that wait for a connection end soon then.
	context.AfterFunc(trouble.ctx, server.forgive)
	trouble.make(t.faultsPerSecond)
	calm()
	server.forgive()

	last := time.Now()
	each(clients, func(c *client) {
		if err := c.confirm(recovery); err != nil {
			c.account.fail("nothing was confirmed within %v after the last fault (%v): %v", recovery, c.State(), err)
		}
	})
	sheet.recovered = time.Since(last)
	hush()
	talks.Wait()
	each(clients, func(c *client) {
		if state := c.State(); state != wechatws.StateOpen {
			c.account.fail("is %v, %v after the last fault", state, time.Since(last))
		}
	})
	unwatch()
	watch.Wait()
	sheet.line()

	each(clients, func(c *client) { c.shut() })
	server.Close()
	for _, c := range clients {
		c.account.settle(true)
		c.account.balance()
	}
}

// each calls do for all clients concurrently, and waits for all calls.
func each(clients []*client, do func(*client)) {
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() { do(c) })
	}
	all.Wait()
}

// watch checks the invariants every second, and prints the table.
func (t trial) watch(ctx context.Context, sheet *sheet, clients []*client) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	report := time.NewTicker(t.report)
	defer report.Stop()
	limit := bounds(len(clients))
	sheet.header()
	for {
		select {
		case <-ctx.Done():
			return
		case <-report.C:
			sheet.line()
		case <-second.C:
			for _, c := range clients {
				c.account.seen(c.State() == wechatws.StateOpen, outage)
				c.account.settle(false)
			}
			if err := takeCensus().within(limit); err != nil {
				clients[0].account.broken(fmt.Errorf("%d clients: %w", len(clients), err))
			}
		}
	}
}
