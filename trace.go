package wechatws

import "time"

// A Trace is a set of functions that are told what a client does, at the moment it does
// it, in the manner of net/http/httptrace: for metrics, traces and tests. Those that are
// nil cost nothing. Callbacks are the place for what a program does about things.
//
// The functions run on the goroutines of the client, several at the same time perhaps,
// and hold up what they are called for: they must not block. They may call State, Stats
// and Reconnect, and nothing else of the client. A panic or a [runtime.Goexit] in one is
// reported to OnError, see [PanicError].
type Trace struct {
	DialStart  func(DialStart)
	DialDone   func(DialDone)
	Open       func(OpenEvent)
	Close      func(CloseEvent) // of connections that had been open
	Retry      func(StateChange)
	Ping       func(Ping)
	Pong       func(Pong)
	MessageIn  func(MessageIn)
	MessageOut func(MessageOut) // perhaps on the goroutine that calls Send
	Callback   func(CallbackDone)
	Dropped    func(Dropped) // told when the DroppedError is
}

// DialStart is a connection attempt that begins.
type DialStart struct {
	Attempt int // as in StateChange
}

// DialDone is one that has ended: with a connection that is open and logged in, or with
// an error.
type DialDone struct {
	Attempt int
	Timings Timings // of the steps that were taken
	Err     error   // a *DialError; nil: it is open
}

// Ping is a protocol ping that is being written.
type Ping struct {
	Connection int // as in Message
}

// Pong is its answer.
type Pong struct {
	Connection int
	RTT        time.Duration
}

// MessageIn is a message whose callbacks are about to run.
type MessageIn struct {
	Connection int
	Type       string // as in Message
	Binary     bool
	Size       int           // of the data
	Waited     time.Duration // since it had arrived in full
}

// CallbackDone is the callbacks of one message that have run.
type CallbackDone struct {
	Connection int
	Type       string
	Took       time.Duration
}

// MessageOut is a message that a socket has taken.
type MessageOut struct {
	Connection int
	Binary     bool
	Size       int
	Waited     time.Duration // since Send had accepted it
}

// Dropped is a message that was given up, as told by DroppedError.
type Dropped struct {
	Message Outbound
	Err     error
}

// with tells the same to another Trace, after t.
func (t *Trace) with(other Trace) Trace {
	return Trace{
		DialStart:  both(t.DialStart, other.DialStart),
		DialDone:   both(t.DialDone, other.DialDone),
		Open:       both(t.Open, other.Open),
		Close:      both(t.Close, other.Close),
		Retry:      both(t.Retry, other.Retry),
		Ping:       both(t.Ping, other.Ping),
		Pong:       both(t.Pong, other.Pong),
		MessageIn:  both(t.MessageIn, other.MessageIn),
		MessageOut: both(t.MessageOut, other.MessageOut),
		Callback:   both(t.Callback, other.Callback),
		Dropped:    both(t.Dropped, other.Dropped),
	}
}

func both[T any](a, b func(T)) func(T) {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(v T) {
		defer b(v) // also when a panics
		a(v)
	}
}

// trace calls one function of a Trace with v. It does so apart: the goroutine that calls
// trace must not end.
func trace[T any](c *Client, fn func(T), v T) {
	if fn == nil {
		return
	}
	c.tracePanicked(apart(func() error { fn(v); return nil }))
}

// traceInPlace is trace for what happens with each message. The caller is prepared for the
// end of its goroutine, and makes v only if there is a function.
func traceInPlace[T any](c *Client, fn func(T), v T) {
	c.tracePanicked(guard(func() error { fn(v); return nil }, func(pe *PanicError) { c.tracePanicked(pe) }))
}

func (c *Client) tracePanicked(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	c.reportLater(s, err)
}
