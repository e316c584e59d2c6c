package main

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A short run in which every client meets a fault or two each second.
func TestShortRun(t *testing.T) {
	run := trial{clients: 20, length: 4 * time.Second, seed: 1, report: time.Second, faultsPerSecond: 40, out: testLog{t}}
	require.NoError(t, run.run())
}

// testLog takes a run's table.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p[:max(len(p)-1, 0)])
	return len(p), nil
}

// Each story has one thing in it that must not happen.
func TestBrokenInvariants(t *testing.T) {
	var (
		one   = packet{Type: plain, Number: 1}
		two   = packet{Type: plain, Number: 2}
		ask   = packet{Type: confirmed, Number: 1}
		ask2  = packet{Type: confirmed, Number: 2}
		soon  = time.Now().Add(time.Minute)
		fault = errors.New("fault")
	)
	send := func(a *account, n int) {
		for range n {
			a.answered(a.offer(), nil)
		}
	}
	open := func(a *account, connection int) {
		a.connecting()
		a.opened(connection)
	}
	over := func(a *account, connection int) {
		a.clientLeft(connection)
		a.serverLeft(connection)
		a.settle(true)
	}
	for _, story := range []struct {
		name, want string
		tell       func(a *account)
	}{
		{"plain messages written out of order", "message 1 was written on connection 1 after message 2", func(a *account) {
			send(a, 2)
			a.took(1, two)
			a.took(1, one)
		}},
		{"a plain message written twice", "message 1 was written on connection 2 after it was taken by a socket", func(a *account) {
			send(a, 1)
			a.took(1, one)
			a.took(2, one)
		}},
		{"plain messages received out of order", "received plain message 1 after message 2", func(a *account) {
			send(a, 2)
			a.got(1, two)
			a.got(1, one)
		}},
		{"a plain message received twice", "received plain message 1 twice", func(a *account) {
			send(a, 1)
			a.got(1, one)
			a.got(2, one)
		}},
		{"a plain message from nowhere", "never sent", func(a *account) { a.got(1, one) }},
		{"a plain message lost without notice", "plain message 1 is lost without notice", func(a *account) {
			send(a, 1)
			a.closing()
			a.closed()
		}},
		{"a plain message that Flush forgot", "Flush returned nil, and plain message 1 is not written", func(a *account) {
			send(a, 1)
			a.flushed(1)
		}},
		{"written and handed back", "message 1 was handed back by Close after it was taken", func(a *account) {
			send(a, 1)
			a.took(1, one)
			a.given(1, returned)
		}},
		{"received and dropped", "but the server has received it", func(a *account) {
			send(a, 1)
			a.got(1, one)
			a.given(1, dropped)
		}},
		{"refused and written", "refused plain message 1 (fault), which went out", func(a *account) {
			number := a.offer()
			a.took(1, one)
			a.answered(number, fault)
		}},
		{"lost in the middle of a connection", "has not read on connection 1 what the socket took", func(a *account) {
			send(a, 2)
			a.took(1, one)
			a.took(1, two)
			a.got(1, two)
			over(a, 1)
		}},
		{"lost on a connection that nobody broke", "connection 1 ended with 1 packets unread", func(a *account) {
			send(a, 2)
			a.loggedIn(1, false)
			a.took(1, one)
			a.took(1, two)
			a.got(1, one)
			over(a, 1)
		}},
		{"a healthy connection dropped", "nobody had done anything to it: fault", func(a *account) {
			open(a, 1)
			a.loggedIn(1, false)
			a.ended(1, fault, false)
			over(a, 1)
		}},
		{"confirmed and not received", "message 1, which the server has not received", func(a *account) {
			a.confirmed(a.begin(soon))
		}},
		{"confirmed messages out of order", "received confirmed message 2 before message 1", func(a *account) {
			a.begin(soon)
			a.calls[1].began = time.Now().Add(-2 * overlap)
			a.begin(soon)
			a.got(1, ask2)
			a.got(1, ask)
		}},
		{"nor beside a stall that was short", "received confirmed message 2 before message 1", func(a *account) {
			a.begin(soon)
			a.calls[1].began = time.Now().Add(-2 * overlap)
			a.stalls = &stalls{all: []stall{{a.calls[1].began, a.calls[1].began.Add(overlap / 2)}}}
			a.begin(soon)
			a.got(1, ask2)
			a.got(1, ask)
		}},
		{"a confirmed message that Close forgot", "message 1, and Close has not handed it back", func(a *account) {
			open(a, 1)
			number := a.begin(soon)
			a.calls[number].began = time.Now().Add(-2 * overlap)
			a.closing()
			a.closed()
			a.cut(number)
		}},
		{"a call that goes on after Close", "message 1 back, and 4s later", func(a *account) {
			number := a.begin(soon)
			a.callReturned(number)
			a.calls[number].returned = time.Now().Add(-4 * overlap)
			a.seen(true, outage)
		}},
		{"a call that never returns", "message 1 has not returned", func(a *account) {
			a.begin(soon)
			a.balance()
		}},
		{"news out of order", "news 2 of connection 1 came after news 0", func(a *account) {
			open(a, 1)
			a.news(1, packet{Type: news, Link: 1, Number: 2}, time.Now())
		}},
		{"news twice", "news 1 of connection 1 came after news 1", func(a *account) {
			open(a, 1)
			a.news(1, packet{Type: news, Link: 1, Number: 1}, time.Now())
			a.news(1, packet{Type: news, Link: 1, Number: 1}, time.Now())
		}},
		{"news from a connection after a later one", "news 1 came from connection 1, and 2 was the last to open", func(a *account) {
			open(a, 1)
			a.ended(1, nil, false)
			a.opened(2)
			a.news(1, packet{Type: news, Link: 1, Number: 1}, time.Now())
		}},
		{"news after Close", "came after Close had returned", func(a *account) {
			open(a, 1)
			a.closing()
			a.closed()
			a.news(1, packet{Type: news, Link: 1, Number: 1}, time.Now())
		}},
		{"news that arrived after Close was called", "arrived 2s after Close was called", func(a *account) {
			open(a, 1)
			a.closing()
			a.news(1, packet{Type: news, Link: 1, Number: 1}, a.closes.Add(2*time.Second))
		}},
		{"two connections at once", "connection 2 opened after connection 1 (open: true", func(a *account) {
			open(a, 1)
			a.opened(2)
		}},
		{"never open again", "has not been open for 40s", func(a *account) {
			a.connecting()
			a.lastOpen = time.Now().Add(-40 * time.Second)
			a.seen(false, outage)
		}},
		{"a balance that does not add up", "1 plain messages were accepted, but 0 received", func(a *account) {
			send(a, 1)
			a.balance()
		}},
	} {
		t.Run(story.name, func(t *testing.T) {
			var broken []error
			story.tell(newAccount(0, func(err error) { broken = append(broken, err) }))
			require.NotEmpty(t, broken)
			assert.ErrorContains(t, broken[0], story.want)
		})
	}
}

// A connection may end by silence where the process, and so the server, did not run.
func TestStallsExcuseSilence(t *testing.T) {
	for length, broken := range map[time.Duration]int{liveness / 4: 1, liveness: 0} {
		failures := 0
		a := newAccount(0, func(error) { failures++ })
		a.stalls = &stalls{all: []stall{{time.Now().Add(-length), time.Now()}}}
		a.connecting()
		a.opened(1)
		a.loggedIn(1, false)
		a.ended(1, errors.New("peer is silent"), false)
		a.clientLeft(1)
		a.serverLeft(1)
		a.settle(true)
		assert.Equal(t, broken, failures, "%v", length)
	}
}

// The order of calls is not known where the process did not run between them.
func TestStallsExcuse(t *testing.T) {
	a := newAccount(0, func(err error) { assert.NoError(t, err) })
	soon := time.Now().Add(time.Minute)
	first, second := a.begin(soon), a.begin(soon)
	a.calls[first].began = time.Now().Add(-2 * overlap)
	a.stalls = &stalls{all: []stall{{a.calls[first].began, time.Now()}}}
	a.got(1, packet{Type: confirmed, Number: second})
	a.got(1, packet{Type: confirmed, Number: first})
}

// All that may become of messages, and nothing wrong with it.
func TestUnbrokenInvariants(t *testing.T) {
	a := newAccount(0, func(err error) { assert.NoError(t, err) })
	a.connecting()
	a.cut(a.begin(time.Now().Add(time.Minute))) // refused before Connect is called
	assert.Empty(t, a.calls)
	a.opened(1)
	a.loggedIn(1, false)
	for range 5 {
		a.answered(a.offer(), nil)
	}
	a.answered(a.offer(), errors.New("full"))
	call := a.begin(time.Now().Add(time.Minute))
	asked := packet{Type: confirmed, Number: call}

	a.took(1, packet{Type: plain, Number: 1}) // received
	a.took(1, asked)
	a.got(1, packet{Type: plain, Number: 1})
	a.took(1, packet{Type: plain, Number: 2}) // in the hole
	a.harm(1)
	a.clientLeft(1)
	a.serverLeft(1)
	a.ended(1, errors.New("fault"), false)
	a.opened(2)
	a.took(2, asked)
	a.got(2, asked)
	a.confirmed(call)
	a.news(2, packet{Type: news, Link: 2, Number: 1}, time.Now())
	a.given(3, dropped)
	a.given(4, returned)
	a.droppedMore(1)
	a.ended(2, nil, false)
	a.closing()
	a.closed()
	a.settle(true)
	a.balance()
	assert.Equal(t, totals{opens: 2, accepted: 5, received: 1, confirmed: 1, returned: 1, dropped: 2, lost: 1, inbound: 1, refused: 1}, a.sum())
}

func TestCensus(t *testing.T) {
	assert.NoError(t, takeCensus().within(bounds(1)))
	assert.ErrorContains(t, census{goroutines: 200}.within(bounds(1)), "200 goroutines, more than 112")
	assert.ErrorContains(t, census{heap: 1 << 30}.within(bounds(1)), "1024 MiB of heap, more than 32")
	assert.ErrorContains(t, census{files: 100}.within(bounds(1)), "100 open files, more than 36")
	// This test's goroutine is left in any case; those of the tests before it may end meanwhile.
	assert.ErrorContains(t, backTo(census{}, 0), "are left")
}
