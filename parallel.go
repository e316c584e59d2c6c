package wechatws

import "fmt"

// WithParallel runs the callbacks of up to n messages at the same time; by default all callbacks run one
// at a time. Those of messages for which key returns the same text run one at a time and in order, such
// as those of one room or one order. A key whose callback blocks delays no other, while fewer than n do.
//
// [Client.OnMessage], [Client.OnUnknown], functions of [On], and [Trace] MessageStart and MessageDone are
// called on several goroutines at a time then, and so is [Client.OnError] with errors of messages. All
// other callbacks, such as those of [Client.OnOpen], [Client.OnClose] and OnError, run alone: after those
// of all messages before them, and before those of all messages behind them. A loop over
// [Client.Messages] receives one message at a time.
//
// The bounds are those of one lane: at 1,024 messages or 4 MiB, of all keys together, the client stops
// reading. So a key that blocks for ever stops the client when that many messages wait for it, or an event
// of the client does.
//
// key is called on the goroutine that reads the connection, once for each message, and so must not block;
// it must not retain the message's Data. If it panics, OnError callbacks receive a [*PanicError], and the
// key is empty, as it is for messages that no function of the user sees. A nil key, and an n below 1, are
// errors.
func WithParallel(key func(m Message) string, n int) Option {
	return setting("WithParallel", func(c *config) error {
		switch {
		case key == nil:
			return wrong("WithParallel", "nil", "key must be a function")
		case n < 1:
			return wrong("WithParallel", fmt.Sprintf("n %d", n), "must be 1 or more")
		}
		c.key, c.parallel = key, n
		return nil
	})
}

// askKey has the message's key determined.
func (s *screening) askKey() {
	key := s.link.client.cfg.key
	if key == nil || !s.open {
		return
	}
	if s.batch.keys == nil {
		s.batch.keys = make([]string, len(s.batch.Messages))
	}
	if s.usable {
		s.batch.keys[s.i] = key(s.message)
	}
}

// split puts each message of b into the inbox, with its key. Without WithParallel it returns false.
func (l *link) split(b *batch) bool {
	if l.client.cfg.key == nil {
		return false
	}
	b.parts.Store(int32(len(b.Messages))) // also those that are not put in yet
	for i := range b.Messages {
		part := newBatch(l, b.Part(i))
		part.whole, part.at = b, b.at
		if b.prepared != nil {
			part.prepared = b.prepared[i : i+1]
		}
		if b.isTaken(i) {
			part.take(0)
		}
		if b.isPong(i) {
			part.pongs = []bool{true}
		}
		part.SetKey(b.keys[i])
		l.client.inbox.Put(part, 1, len(part.Messages[0].Data), l)
	}
	return true
}
