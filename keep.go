package wechatws

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/internal/ws"
)

// Keep has v, which may be anything that [Client.Send] takes, sent once on every connection, such as
// a subscription: as it opens, after the login and the functions of [Client.AfterConnect], ahead of
// the queue, in the order in which the keys were first kept. If a connection is open or in its setup,
// v is sent on it too, once: at once if it is open, ahead of the queue. That holds until Forget is
// called with the key, or Keep with another value, which takes the place of the old one and is sent
// in the same way.
//
// v is encoded by Keep, the error of which it returns, and again for each connection, at the end of
// its setup, so that a [encoding/json.Marshaler] can say where to go on. If that fails,
// [Client.OnError] receives the error and v is sent as encoded before. v must not be changed, unless
// its methods take care of that. Callbacks of the connection before have run by then, except one that
// waits in a call of the client, or that takes longer than 10 s.
//
// The peer's answers are messages like any others. What is kept is not in the queue: [Client.Flush]
// does not wait for it, the bounds of [WithQueue] do not count it, and it is never dropped, nor
// handed back. The program itself must bound how much it keeps.
//
// Keep does not block, and may be called from any goroutine, in every state; [Client.Close] keeps
// what is kept.
func (c *Client) Keep(key string, v any) error {
	m, err := encode(c.cfg.codec, v)
	if err != nil {
		return err
	}
	c.keeps.add(key, m)
	if l := c.attached.Load(); l != nil {
		l.writer.mu.Lock()
		defer l.writer.mu.Unlock()
		l.startWriter()
	}
	return nil
}

// Forget ends what [Client.Keep] has begun for key; for an unknown key it does nothing. It does not
// block. What is being written is still sent.
func (c *Client) Forget(key string) { c.keeps.remove(key) }

// maxKept is how many bytes of kept messages are written together.
const maxKept = ws.BufferSize

// keeps are the messages of Keep.
type keeps struct {
	n atomic.Int64 // the length of due

	mu    sync.Mutex               // guards the fields below, and those of the messages
	all   list.List                // of *kept, in the order of the first Keep
	byKey map[string]*list.Element // of all
	due   list.List                // of *kept: to be written to the newest connection
}

// A kept is the message of one key.
type kept struct {
	key     string
	message *Outbound // replaced, and not changed
	due     *list.Element
}

// add keeps a message, which is due.
func (ks *keeps) add(key string, m Outbound) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	e := ks.byKey[key]
	if e == nil {
		if ks.byKey == nil {
			ks.byKey = map[string]*list.Element{}
		}
		e = ks.all.PushBack(&kept{key: key})
		ks.byKey[key] = e
	}
	k := e.Value.(*kept)
	if k.message = &m; k.due == nil {
		k.due = ks.due.PushBack(k)
	}
	ks.n.Store(int64(ks.due.Len()))
}

// remove ends a key.
func (ks *keeps) remove(key string) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	e := ks.byKey[key]
	if e == nil {
		return
	}
	delete(ks.byKey, key)
	if k := ks.all.Remove(e).(*kept); k.due != nil {
		ks.due.Remove(k.due)
	}
	ks.n.Store(int64(ks.due.Len()))
}

// restart makes all messages due, for a new connection, and encodes them again.
func (ks *keeps) restart(codec Codec, failed func(error)) {
	ks.mu.Lock()
	ks.due.Init()
	var again []*kept
	for e := ks.all.Front(); e != nil; e = e.Next() {
		k := e.Value.(*kept)
		k.due = ks.due.PushBack(k)
		again = append(again, &kept{key: k.key, message: k.message})
	}
	ks.n.Store(int64(ks.due.Len()))
	ks.mu.Unlock()
	for _, old := range again {
		v := old.message.value
		if v == nil { // it is sent as it is
			continue
		}
		var m Outbound
		if err := users.Apart(func() (err error) { m, err = encode(codec, v); return err }); err != nil {
			failed(err)
			continue
		}
		ks.mu.Lock()
		if e := ks.byKey[old.key]; e != nil && e.Value.(*kept).message == old.message { // it was not replaced
			e.Value.(*kept).message = &m
		}
		ks.mu.Unlock()
	}
}

// next returns the next messages that are due, which are not due any more: at most maxKept bytes,
// unless it is a single one.
func (ks *keeps) next() (messages []*Outbound, size int) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	for e := ks.due.Front(); e != nil && len(messages) < maxBatch; e = ks.due.Front() {
		k := e.Value.(*kept)
		if size+len(k.message.Data) > maxKept && len(messages) > 0 {
			break
		}
		messages = append(messages, k.message)
		size += len(k.message.Data)
		ks.due.Remove(e)
		k.due = nil
	}
	ks.n.Store(int64(ks.due.Len()))
	return messages, size
}

// takeKept returns the kept messages that are to be written now. They do not wait for the queue, but
// for the end of a quiet time (refused.go), as heartbeats do. The first message of the queue waits
// longer then, unless it waits for a refusal of what every connection begins with, such as these.
// It is called with the writer's mutex held.
func (l *link) takeKept() []*Outbound {
	w := &l.writer
	if !w.open || len(w.batch) > 0 || l.client.keeps.n.Load() == 0 || !l.mayBeat() {
		return nil
	}
	messages, size := l.client.keeps.next()
	if w.quietFirst {
		l.greeting.kept += len(messages)
		l.greeting.keptBytes += size
	} else {
		w.beaten, w.beatSize, w.kept = time.Now(), size, len(messages)
	}
	return messages
}
