package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/internal/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errFull    = errors.New("full")
	errTooBig  = errors.New("too big")
	errExpired = errors.New("expired")
	errNotOpen = errors.New("not open")
	errClosed  = errors.New("closed")
	errLost    = errors.New("lost")
)

type item = outbox.Item[int]

// A box is an outbox with a record of its calls.
type box struct {
	*outbox.Outbox[int]
	accepted []int
	dropped  []string
}

func newBox(messages, bytes int, policy outbox.Policy) *box {
	b := &box{}
	b.Outbox = outbox.New(outbox.Config[int]{
		Messages: messages, Bytes: bytes, Policy: policy,
		Full: errFull, TooBig: errTooBig, Expired: errExpired, NotOpen: errNotOpen, Closed: errClosed,
		Accepted: func(it *item) { b.accepted = append(b.accepted, it.Value) },
		Dropped:  func(it *item, why error) { b.dropped = append(b.dropped, fmt.Sprint(it.Value, " ", why)) },
	})
	return b
}

func always(*item, int) bool { return true }

// next puts up to most items in flight.
func (b *box) next(most int) (batch []*item, flight uint64) { return b.Next(nil, most, 1<<20, always) }

// takeBack empties the box.
func (b *box) takeBack() []*item {
	b.Refuse(errClosed)
	return b.TakeBack(errClosed)
}

func values(items []*item) (values []int) {
	for _, it := range items {
		values = append(values, it.Value)
	}
	return values
}

// A model is what an outbox should be, in the simplest form: one slice of all that is in it.
type model struct {
	messages, bytes int
	policy          outbox.Policy
	open            bool
	refuse          error
	finishing       bool
	refused         int      // how many were accepted before refuse was set
	in              []*entry // accepted and not gone, in order; those in flight first
	flying          int      // how many of in are in flight
	room            []*entry // waiting for room
	dropped         []string
	accepted        []int
}

type entry struct {
	*item
	abandoned bool
	ended     bool
	err       error
	result    chan error // of Push
}

func (m *model) size() (n int) {
	for _, e := range m.in {
		n += e.Size
	}
	return n
}

func (m *model) full(size int) bool { return len(m.in)+1 > m.messages || m.size()+size > m.bytes }

// end removes an entry that waits.
func (m *model) end(e *entry, err error, report bool) {
	e.ended, e.err = true, err
	if i := slices.Index(m.room, e); i >= 0 {
		m.room = slices.Delete(m.room, i, i+1)
	} else {
		i := slices.Index(m.in, e)
		m.in = slices.Delete(m.in, i, i+1)
		if report {
			m.dropped = append(m.dropped, fmt.Sprint(e.Value, " ", err))
		}
	}
	m.admit()
}

func (m *model) admit() {
	for len(m.room) > 0 && !m.full(m.room[0].Size) {
		e := m.room[0]
		m.room = m.room[1:]
		m.accept(e)
	}
}

func (m *model) accept(e *entry) {
	m.in = append(m.in, e)
	m.accepted = append(m.accepted, e.Value)
}

// dropExpired drops those that wait and have expired, the first to expire first.
func (m *model) dropExpired() {
	for {
		var first *entry
		for _, e := range m.in[m.flying:] {
			if !e.Expires.IsZero() && !time.Now().Before(e.Expires) && (first == nil || e.Expires.Before(first.Expires)) {
				first = e
			}
		}
		if first == nil {
			return
		}
		m.end(first, errExpired, true)
	}
}

// push returns the error, or nil with waits for one that waits for room.
func (m *model) push(e *entry) (err error, waits bool) {
	e.Direct = !e.Kept && (e.Direct || m.messages == 0)
	fail := func(err error) (error, bool) { return err, false }
	switch {
	case m.refuse != nil && !(m.finishing && e.Kept):
		return fail(m.refuse)
	case e.Direct && !m.open:
		return fail(errNotOpen)
	case e.Direct || e.Kept:
	case e.Size > m.bytes:
		return fail(errTooBig)
	case len(m.room) > 0 || m.full(e.Size):
		m.dropExpired()
		if m.policy == outbox.DropOldest {
			for _, old := range slices.Clone(m.in[m.flying:]) {
				if !m.full(e.Size) {
					break
				}
				if !old.Kept && !old.Direct {
					m.end(old, errFull, true)
				}
			}
		} else if len(m.room) > 0 || m.full(e.Size) {
			if m.policy == outbox.Fail {
				return fail(errFull)
			}
			m.room = append(m.room, e)
			return nil, true
		}
	}
	m.accept(e)
	return nil, false
}

// Random operations have the same results in the outbox and in the model.
func TestOutboxIsWhatTheModelSays(t *testing.T) {
	for seed := range uint64(2000) {
		synctest.Test(t, func(t *testing.T) { compare(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func compare(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	messages, bytes := rnd.IntN(6), 5+rnd.IntN(20)
	policy := outbox.Policy(rnd.IntN(3))
	b := newBox(messages, bytes, policy)
	m := &model{messages: messages, bytes: bytes, policy: policy}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all []*entry
	var batch []*item
	var flight uint64
	pick := func() *entry {
		if len(all) == 0 {
			return nil
		}
		return all[rnd.IntN(len(all))]
	}
	state := func(e *entry) string {
		i := slices.Index(m.in, e)
		switch {
		case e.ended:
			return "ended"
		case slices.Contains(m.room, e):
			return "room"
		case i >= 0 && i < m.flying:
			return "flies"
		default:
			return "waits"
		}
	}
	for step := range 60 {
		switch op := rnd.IntN(14); op {
		case 0, 1, 2, 3, 4:
			e := &entry{item: &item{Value: step, Size: rnd.IntN(8), Direct: rnd.IntN(5) == 0, Kept: rnd.IntN(5) == 0, Alone: rnd.IntN(5) == 0}, result: make(chan error, 1)}
			if rnd.IntN(3) == 0 {
				e.Expires = time.Now().Add(time.Duration(rnd.IntN(4)) * time.Second)
			}
			copied := *e.item
			want, waits := m.push(&entry{item: &copied, result: e.result})
			if waits || want == nil { // the model has the copy; let it have the entry
				swap(m, &copied, e)
			}
			go func() { e.result <- b.Push(ctx, e.item) }()
			synctest.Wait()
			if waits {
				require.Empty(t, e.result)
				all = append(all, e)
				break
			}
			require.ErrorIs(t, <-e.result, want)
			if want == nil {
				all = append(all, e)
			}
		case 5, 6:
			if m.flying > 0 {
				break
			}
			most := 1 + rnd.IntN(4)
			stop := rnd.IntN(10)
			batch, flight = b.Next(nil, most, 1<<20, func(it *item, n int) bool { return it.Value%10 != stop })
			var want []int
			for len(want) < most && m.flying < len(m.in) {
				e := m.in[m.flying]
				if !e.Expires.IsZero() && !time.Now().Before(e.Expires) {
					m.end(e, errExpired, true)
					continue
				}
				if e.Value%10 == stop || len(want) > 0 && (e.Alone || m.in[0].Alone) {
					break
				}
				m.flying++
				want = append(want, e.Value)
			}
			require.Equal(t, want, values(batch))
		case 7, 8:
			if m.flying == 0 {
				require.False(t, b.Settle(flight, 0))
				break
			}
			n := rnd.IntN(len(batch) + 1)
			require.True(t, b.Settle(flight, n))
			flew := slices.Clone(m.in[:m.flying])
			m.in = m.in[m.flying:]
			m.flying = 0
			for i, e := range slices.Backward(flew) {
				switch {
				case i < n:
					e.ended = true
				case e.abandoned:
					e.ended, e.err = true, context.Canceled
				case e.Direct && !m.open:
					e.ended, e.err = true, errLost
					m.dropped = append(m.dropped, fmt.Sprint(e.Value, " ", errLost))
				default:
					m.in = slices.Insert(m.in, 0, e)
				}
			}
			if n < len(batch) {
				m.dropExpired()
			}
			m.admit()
		case 9:
			if e := pick(); e != nil {
				b.Withdraw(e.item)
				switch state(e) {
				case "waits", "room":
					m.end(e, context.Canceled, false)
				case "flies":
					e.abandoned = true
				}
			}
		case 10:
			if e := pick(); e != nil {
				b.Drop(e.item, errClosed)
				if s := state(e); s == "waits" || s == "room" {
					m.end(e, errClosed, true)
				}
			}
		case 11:
			if m.open = !m.open; m.open {
				b.Open()
				break
			}
			b.Lost(errLost)
			for _, e := range slices.Clone(m.in[m.flying:]) {
				if e.Direct {
					m.end(e, errLost, true)
				}
			}
		case 12:
			m.refuse, m.finishing = nil, false
			switch rnd.IntN(4) {
			case 0:
				m.refuse = errClosed
				b.Refuse(errClosed)
			case 1:
				m.refuse, m.finishing = errClosed, true
				b.Finish()
			default:
				b.Refuse(nil)
			}
			m.refused = len(m.accepted)
			if m.refuse != nil {
				for _, e := range m.room {
					e.ended, e.err = true, m.refuse
				}
				m.room = nil
			}
		case 13:
			time.Sleep(time.Second)
			if rnd.IntN(5) > 0 || m.flying > 0 {
				break
			}
			var want []int
			for len(m.in) > 0 && slices.Contains(m.accepted[:m.refused], m.in[0].Value) {
				e := m.in[0]
				m.end(e, errClosed, false)
				if !e.Direct && !e.Kept {
					want = append(want, e.Value)
				}
			}
			require.Equal(t, want, values(b.TakeBack(errClosed)))
		}
		synctest.Wait()
		require.Equal(t, m.accepted, b.accepted)
		require.Equal(t, m.dropped, b.dropped)
		stats := b.Stats()
		require.Equal(t, len(m.in), stats.Messages)
		require.Equal(t, m.size(), stats.Bytes)
		for _, e := range all {
			left, err := b.Fate(e.item)
			require.Equal(t, e.ended, left, "%d", e.Value)
			require.Equal(t, e.err, err)
		}
	}
	cancel()
	synctest.Wait()
}

// swap puts e in the place of the entry of a copied item.
func swap(m *model, copied *item, e *entry) {
	e.Direct = copied.Direct
	for _, list := range [][]*entry{m.in, m.room} {
		for i := range list {
			if list[i].item == copied {
				list[i] = e
			}
		}
	}
}
