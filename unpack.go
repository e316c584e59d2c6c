package wechatws

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/wechatws/wechatws/internal/ws"
)

// WithUnpack sets the function that makes messages of what arrives, by default every message is
// taken as it is. It is for messages that are compressed or encrypted, for several documents in one
// message, and for envelopes: what comes out is what [Setup.Receive], [Client.Request], [Heartbeat]
// Pong and the callbacks receive, in this order.
//
// fn is called once for each connection, with its number as in [Message], before anything is sent or
// received, and must not block. The function that it returns is called with each message of that
// connection, one at a time, on the goroutine that reads the connection, or on that of a
// [Client.AfterConnect] function that receives; so it needs no locks for a state of its own, such as
// that of a stream which runs through all messages. While it runs nothing else is read: it must not
// block.
//
// It returns no message, one, or several. Only their Data and Binary count. Data is copied: it may
// be a part of m.Data, which is valid until the function returns, or a buffer that is used again.
// Text must be valid UTF-8, and the read limit ([WithReadLimit]) applies to each message that comes
// out as to one that arrives. It does not bound what the function itself allocates: use an
// [io.LimitReader] to decompress. A message above the read limit, and text that is not valid UTF-8,
// are skipped without calling the function.
//
// An error ends the connection, as [Client.Disconnect] does with this cause; if it is marked with
// [Permanent], it ends the client. A function that can go on returns no message and no error. If it
// panics, the message is skipped and [Client.OnError] callbacks receive a [*PanicError]. If fn panics
// or returns nil, the attempt fails with a [*DialError] of phase "setup".
func WithUnpack(fn func(connection int) func(m Message) ([]Message, error)) Option {
	return setting("WithUnpack", func(c *config) error {
		c.unpack = fn
		if fn == nil {
			return wrong("WithUnpack", "nil", "must be a function that returns a function")
		}
		return nil
	})
}

// startUnpacking calls the function of WithUnpack for a new connection.
func (l *link) startUnpacking() error {
	fn := l.client.cfg.unpack
	if fn == nil {
		return nil
	}
	err := users.Apart(func() error {
		if l.unpack = fn(l.number); l.unpack == nil {
			return errors.New("it returned nil instead of a function")
		}
		return nil
	})
	if err != nil {
		return &DialError{Phase: phaseSetup, Err: err, text: "function of WithUnpack: " + because(err)}
	}
	return nil
}

// A prepared message is what is known of a message before it is read, since functions of the user
// have seen it.
type prepared struct {
	typ   string // of WithTypeFunc
	err   error  // as that of batch.read; nil: none
	taken bool   // see batch.take

	panicked error // of the function of WithTypeFunc; nil: it has returned
}

// A preparation is the work of the functions of WithUnpack and WithTypeFunc on one batch. Its place
// is in fields, so that it goes on behind a function that calls runtime.Goexit.
type preparation struct {
	*batch
	raw   *ws.Message // as it has arrived; nil: it is unpacked, or need not be
	typed int         // how many of those that came out have a type
}

// unpackNext returns a batch of what the next message of packed was unpacked to; nil: there is none.
// These wait for room in the inbox before the next one is unpacked.
func (l *link) unpackNext() *batch {
	from := l.packed
	if from == nil {
		return nil
	}
	if from.next == len(from.Messages) {
		l.packed = nil
		from.release()
		return nil
	}
	from.next++
	b := newBatch(l, &ws.Batch{})
	b.at = from.at
	l.show(b, func(b *batch) { (&preparation{batch: b, raw: &from.Messages[from.next-1]}).run() })
	return b
}

// prepare calls the function of WithTypeFunc with the messages of b. It is called on the goroutine
// that has received them.
func (l *link) prepare(b *batch) {
	if b.Skipped > 0 {
		return
	}
	b.prepared = make([]prepared, len(b.Messages))
	(&preparation{batch: b}).run()
}

// run goes on with the preparation.
func (p *preparation) run() {
	if p.raw != nil {
		p.unpack()
	}
	for p.link.client.cfg.typeFunc != nil && p.typed < len(p.Messages) {
		p.typeNext()
	}
}

// unpack unpacks the message.
func (p *preparation) unpack() {
	raw := *p.raw
	p.raw = nil
	if raw.Text && !utf8.Valid(raw.Data) {
		p.add(raw, ErrNotUTF8)
		return
	}
	err := users.Guard(func() error {
		out, err := p.link.unpack(p.message(raw, true))
		if err != nil {
			p.link.dismiss(err)
			p.link.unpack = nothing // a broken stream has no more messages
			return nil
		}
		for _, m := range out {
			p.add(ws.Message{Text: !m.Binary, Data: m.Data}, nil)
		}
		return nil
	}, func(exit error) { p.add(raw, exit) })
	if err != nil {
		p.add(raw, err)
	}
}

func nothing(Message) ([]Message, error) { return nil, nil }

// add adds a copy of a message that is to be read, or that is to be reported with err.
func (p *preparation) add(m ws.Message, err error) {
	if limit := p.link.client.cfg.readLimit; int64(len(m.Data)) > limit {
		m.Data, err = nil, &ReadLimitError{Limit: limit, Size: int64(len(m.Data)), Connection: p.link.number}
	}
	m.Data = bytes.Clone(m.Data)
	p.Messages = append(p.Messages, m)
	p.prepared = append(p.prepared, prepared{err: err})
}

// typeNext sets the type of a message.
func (p *preparation) typeNext() {
	m, to := p.Messages[p.typed], &p.prepared[p.typed]
	p.typed++
	if m.Text && !utf8.Valid(m.Data) {
		to.err = ErrNotUTF8
	}
	if to.err != nil {
		return
	}
	to.err = ErrNoType
	to.panicked = users.Guard(func() error {
		if to.typ = p.link.client.cfg.typeFunc(p.message(m, true)); to.typ != "" {
			to.err = nil
		}
		return nil
	}, func(exit error) {
		to.panicked = exit
		p.run()
	})
}
