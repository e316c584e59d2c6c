package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
)

// do carries out a step. It does not block, except for the time of the step advance.
func (w *world) do(s step) {
	w.mu.Lock()
	w.note("step %s", strings.Trim(fmt.Sprintf("%+v", s), "{}"))
	c := w.newest()
	change := false
	switch s.Do {
	case "hook":
		w.todo[s.On] = append(w.todo[s.On], s)
	case "release":
		w.release()
	case "hold":
		w.upHeld, w.downHeld = w.upHeld || s.On != "down", w.downHeld || s.On != "up"
		w.starve()
	case "flow":
		w.upHeld, w.downHeld = false, false
	case "deliver":
		w.deliver(s)
	case "failWrite":
		if c != nil {
			c.failAt = s.N
		}
	case "fin":
		if c != nil {
			c.leaving = true
		}
	case "rst":
		if c != nil {
			c.reset = true
			c.in, c.out = nil, nil
		}
	case "refuse":
		w.refuse = s.N
	case "holdDials":
		w.dialsHeld = true
	case "freeDials":
		w.dialsHeld = false
	case "slow":
		if w.rate = s.N; s.N > 0 { // fast enough for a pong to come in time
			w.rate = max(s.N, 2*w.Settings.Buffer+16_000)
		}
	case "change":
		change = true
	case "say":
		if c != nil {
			for range s.N {
				c.server.say(0)
			}
		}
	case "leave":
		if c != nil {
			for range s.D {
				c.server.say(0)
			}
			c.server.bye(s.N)
			c.leaving = c.server.open
		}
	case "bye":
		if c != nil {
			c.server.bye(1001)
		}
	case "pings":
		if c != nil && c.server.open && !c.server.closing {
			for range s.N {
				c.server.write(appendFrame(nil, opPing, []byte("ping")))
			}
		}
	case "deaf":
		w.deaf = true
		w.starve()
	case "silent":
		w.silent = true
		w.starve()
	case "well":
		w.behavior = behavior{}
	case "status":
		w.refuseWith = s.N
	}
	w.pump()
	w.changed.Broadcast()
	w.mu.Unlock()
	switch {
	case change:
		w.change(s.N > 0)
	case s.Do == "advance":
		time.Sleep(s.D)
	case s.Do == "sends":
		send := func(i int) { w.perform(context.Background(), step{Do: "send", N: 40 + i%7*30, D: s.D}, "") }
		if waits := w.Settings.Policy == int(wechatws.QueueWait) || w.Settings.Messages == 0; waits && s.N < many {
			for i := range s.N {
				go send(i)
			}
			break
		}
		go func() {
			for i := range s.N {
				send(i)
			}
		}()
	case isVerb(s.Do):
		go w.perform(context.Background(), s, "")
	}
}

// isVerb reports whether a step is a call of one of the client's methods.
func isVerb(do string) bool { _, ok := verbs[do]; return ok }

// starve records that the newest connection is not in good health any more.
func (w *world) starve() {
	if c := w.newest(); c != nil {
		c.starved = true
	}
}

// deliver moves some bytes although the network is held.
func (w *world) deliver(s step) {
	c := w.newest()
	if c == nil {
		return
	}
	up, down := w.upHeld, w.downHeld
	w.upHeld, w.downHeld = false, false
	if s.On == "up" && c.mayMoveUp() {
		c.moveUp(s.N)
	}
	if s.On == "down" && c.mayMoveDown() && len(c.sending) > 0 {
		c.moveDown(s.N)
	}
	w.upHeld, w.downHeld = up, down
}

// verbs are the calls of a client's methods that steps make, and whether they send a message.
var verbs = map[string]bool{
	"connect": false, "run": false, "close": false, "closeNow": false, "shutdown": false, "reconnect": false, "disconnect": false, "flush": false,
	"send": true, "sendLate": true, "sendExpiring": true, "failFast": true, "request": true, "confirm": true,
}

// invoke calls the method of the client that verb stands for.
func (w *world) invoke(ctx context.Context, verb string, m *message) (err error) {
	c := w.client
	switch verb {
	case "connect":
		return c.Connect(ctx)
	case "run":
		return c.Run(ctx)
	case "close":
		return c.Close(wechatws.StatusNormalClosure, "")
	case "closeNow":
		return c.CloseNow()
	case "shutdown":
		return c.Shutdown(ctx)
	case "reconnect":
		return w.reconnect()
	case "disconnect":
		return w.disconnect()
	case "flush":
		return c.Flush(ctx)
	case "send":
		return c.Send(ctx, wechatws.Text(m.text()))
	case "sendLate":
		return c.Send(ctx, late{w, m}, wechatws.EncodeOnWrite())
	case "sendExpiring":
		return c.Send(ctx, wechatws.Text(m.text()), wechatws.ExpireAfter(time.Duration(m.size)*time.Millisecond))
	case "failFast":
		return c.Send(ctx, wechatws.Text(m.text()), wechatws.FailFast())
	case "request":
		_, err = c.Request(ctx, wechatws.Text(m.text()), w.match(m))
	case "confirm":
		_, err = c.SendConfirmed(ctx, wechatws.Text(m.text()), w.match(m), wechatws.ConfirmTimeout(3*time.Second))
	}
	return err
}

// reconnect calls Reconnect, after which an attempt must begin.
func (w *world) reconnect() error {
	before := w.client.Stats().Attempts
	err := w.client.Reconnect()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.wish, w.wishedAt, w.wishSince, w.wishGrace = "Reconnect", before, time.Now(), 0
		w.endsLocally()
	}
	return err
}

// disconnect calls Disconnect for the newest connection.
func (w *world) disconnect() error {
	w.mu.Lock()
	newest := 0
	for number := range w.numbers {
		newest = max(newest, number)
	}
	w.endsLocally()
	w.mu.Unlock()
	return w.client.Disconnect(newest, errSimulated)
}

// endsLocally records that the user ends the newest connection.
func (w *world) endsLocally() {
	if c := w.newest(); c != nil {
		c.local = true
	}
}

// match returns the function that finds the answer to m.
func (w *world) match(m *message) func(wechatws.Message) bool {
	return func(in wechatws.Message) bool {
		_ = w.hook(context.Background(), "match")
		return number(in.Data, "of") == m.id
	}
}

// text returns the data of the message.
func (m *message) text() string {
	t := fmt.Sprintf(`{"msg_type":"m","id":%d,"pad":"`, m.id)
	return t + strings.Repeat("x", max(0, m.size-len(t)-2)) + `"}`
}

// A late is the value of a message that is encoded on write.
type late struct {
	w *world
	m *message
}

var _ json.Marshaler = late{}

// MarshalJSON implements [json.Marshaler].
func (l late) MarshalJSON() ([]byte, error) {
	l.w.mu.Lock()
	l.m.encodings++
	first := l.m.encodings == 1
	l.w.mu.Unlock()
	if !first { // the first one is part of the call of Send
		if err := l.w.hook(context.Background(), "Marshal"); err != nil {
			return nil, err
		}
	}
	return []byte(l.m.text()), nil
}

// perform makes a call, on the goroutine of a user or, inside a function of the user's, on that of the
// function, and accounts for its result.
func (w *world) perform(ctx context.Context, s step, inside string) {
	if s.D > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.D)
		defer cancel()
	}
	w.mu.Lock()
	c := &call{verb: s.Do, began: time.Now(), inside: inside != ""}
	closing := w.Settings.Drain + 2*time.Second
	if !verbs[s.Do] {
		w.urged = c.began
	}
	switch s.Do {
	case "close":
		c.limit = c.began.Add(closing)
	case "closeNow", "reconnect", "disconnect":
		c.limit = c.began
	case "connect", "run":
		if s.D > 0 {
			c.limit = c.began.Add(s.D + closing)
		}
	default:
		if s.D > 0 {
			c.limit = c.began.Add(s.D)
		}
	}
	var m *message
	if verbs[s.Do] {
		m = &message{id: len(w.messages) + 1, size: s.N, verb: s.Do, began: w.next()}
		if s.Do == "sendLate" || s.Do == "sendExpiring" {
			m.verb = "send"
		}
		m.direct = s.Do == "failFast" || s.Do == "request" || w.Settings.Messages == 0 && s.Do != "confirm"
		w.messages = append(w.messages, m)
		c.message = m
		if m.verb == "send" && !m.direct && w.Settings.Policy != int(wechatws.QueueWait) {
			c.limit = c.began
		}
	}
	if s.Do == "close" || s.Do == "closeNow" || s.Do == "shutdown" {
		c.ends = true
		w.ends()
	}
	w.calls[c] = true
	if at, ok := ctx.Deadline(); ok && s.Do == "shutdown" {
		w.cuts[at.UnixNano()] = true
	}
	if s.Do == "closeNow" {
		w.cut()
	}
	w.mu.Unlock()
	if s.Do == "shutdown" {
		defer context.AfterFunc(ctx, w.cutLocked)()
	}
	if s.Do == "run" || s.Do == "connect" {
		stop := context.AfterFunc(ctx, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			c.ends = true
			w.ends()
		})
		defer stop()
	}

	err := w.invoke(ctx, s.Do, m)

	w.mu.Lock()
	defer w.mu.Unlock()
	w.checkCall(c)
	delete(w.calls, c)
	switch {
	case s.Do == "closeNow": // the write may have begun after the call
		w.cut()
	case s.Do == "shutdown" && ctx.Err() != nil:
		w.cuts[time.Now().UnixNano()] = true
	}
	if s.Do != "send" || err != nil {
		w.note("%s%s returns %v", strings.TrimPrefix(inside+": ", ": "), s.Do, err)
	}
	if m != nil {
		w.hasReturned(m, err)
	}
	w.handBack(err)
}

// ends is called when a call that ends the client begins: from now on messages may be lost with
// their connection, and no attempt begins.
func (w *world) ends() {
	w.wish = ""
	for _, m := range w.messages {
		m.ended = m.ended || m.returned == 0
	}
	for n := range w.numbers {
		w.ended[n] = true
	}
	if c := w.newest(); c != nil {
		c.local = true
	}
}

// isCut reports whether the client has ended at once while it was writing to c. At the instant when
// the context of Shutdown ends, it may be that cut has not been called yet, or was called too late.
// That of a callback ends with the client.
func (w *world) isCut(c *conn) bool {
	for c := range w.calls {
		if c.verb == "shutdown" && c.inside {
			return true
		}
	}
	return c.cut || w.cuts[time.Now().UnixNano()]
}

// cut is called when the client ends at once.
func (w *world) cut() {
	if c := w.newest(); c != nil {
		c.cut = c.cut || c.writing > 0
	}
}

// cutLocked is cut for any other goroutine.
func (w *world) cutLocked() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut()
}
