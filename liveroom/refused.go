package liveroom

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/printable"
)

// A Refusal describes a message by which a server refuses an action; see [WithRefusals].
type Refusal struct {
	// Field is the field of the message by which it is recognized, such as msg_type or code. Its value
	// is a string, a number or a boolean; a message with another one, or with an empty string, is no
	// refusal.
	Field string
	// Is are the values of Field that mean a refusal, and Not those that do not, if all others
	// do. One of the two is given. A number or a boolean is compared as its JSON text.
	Is, Not []string
	// Text is the field with the reason. Empty means that there is none.
	Text string
}

// WithRefusals sets by which messages the server refuses an action. Default
// {"msg_type":"error"} with the reason in msg_content; without a refusal none is. A message that
// fits one of them answers the oldest action on this connection that is not answered, so
// [Room.SayConfirmed] returns a [*RefusedError], and [Room.OnRefused] receives that of any other.
// The echo of an action answers it, too. An action that the server has dropped without an answer takes
// the refusal of one behind it, for a minute, unless one behind it is echoed first.
func WithRefusals(refusals ...Refusal) Option {
	return func(c *config) { c.refusals = slices.Clone(refusals) }
}

// typeField is the field whose value is the type of a message.
const typeField = "msg_type"

func defaultRefusals() []Refusal {
	return []Refusal{{Field: typeField, Is: []string{"error"}, Text: "msg_content"}}
}

// checkRefusals records what is wrong with the refusals.
func (c *config) checkRefusals() {
	for _, f := range c.refusals {
		switch {
		case f.Field == "":
			c.wrong("WithRefusals", fmt.Sprintf("%+v", f), "must name the field by which the message is recognized")
		case (len(f.Is) == 0) == (len(f.Not) == 0):
			c.wrong("WithRefusals", fmt.Sprintf("%+v", f), "must have values in either Is or Not")
		}
	}
}

// refused returns the reason if m is a refusal. It decodes no other message.
func (c *config) refused(m wechatws.Message) (text string, refused bool) {
	for _, f := range c.refusals {
		value := m.Type
		if f.Field != typeField {
			if m.Type == (JoinEvent{}).MsgType() { // it may be long, and answers no action
				continue
			}
			if value = m.Field(f.Field); value == "" {
				continue
			}
		}
		if slices.Contains(f.Is, value) || len(f.Not) > 0 && !slices.Contains(f.Not, value) {
			return printable.Text(reason(m, f.Text)), true
		}
	}
	return "", false
}

// reason returns the content of a string, or the JSON text of any other value.
func reason(m wechatws.Message, field string) string {
	if field == "" {
		return ""
	}
	if text := m.Field(field); text != "" {
		return text
	}
	var fields map[string]json.RawMessage
	if m.Decode(&fields) != nil {
		return ""
	}
	switch value := string(fields[field]); value {
	case "null", `""`:
		return ""
	default: // a list or an object
		return value
	}
}

// A RefusedError reports that the server has refused an action; see [WithRefusals].
type RefusedError struct {
	Type    string // msg_type of the action; empty: the refusal answers none of this room
	Content string // the text of a comment, or the id of goods
	Text    string // the server's reason, printable and cut at 200 bytes
	Message wechatws.Message
}

// Error returns the type of the action and the server's reason.
func (e *RefusedError) Error() string {
	what := "an action"
	if e.Type != "" {
		what = printable.Quote(e.Type)
	}
	if e.Text == "" {
		return fmt.Sprintf("liveroom: %s was refused by the server", what)
	}
	return fmt.Sprintf("liveroom: %s was refused by the server: %s", what, printable.Quote(e.Text))
}

// GoString implements [fmt.GoStringer], with the text of Error.
func (e RefusedError) GoString() string { return "&liveroom.RefusedError(" + e.Error() + ")" }

// MarshalText implements [encoding.TextMarshaler], with the text of Error.
func (e RefusedError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// OnRefused registers fn for each refusal that no [Room.SayConfirmed] returns: of a comment of
// [Room.Say], of goods, or of an action that is not known any more, which has no Type.
func (r *Room) OnRefused(fn func(ctx context.Context, err *RefusedError)) (remove func()) {
	return register(r, &r.onRefused, "refusal", fn)
}

// A verdict is what a refusal means, for the callbacks.
type verdict struct {
	connection int
	data       uint64  // hash of the refusal: with WithParallel callbacks have another order
	text       string  // the reason
	action     *action // nil: it is not known
	returned   bool    // SayConfirmed has returned it
}

// maxVerdicts is above what the inbox holds, and thus how many callbacks can be waiting for.
const maxVerdicts = 4096

func (r *Room) refusal(a *action, text string, m wechatws.Message) *RefusedError {
	m.Data = slices.Clone(m.Data)
	e := &RefusedError{Text: text, Message: m}
	if a != nil {
		e.Type, e.Content = a.kind, a.content
	}
	return e
}

// refusedBy is called on the goroutine that reads the connection: m refuses the oldest action.
func (r *Room) refusedBy(m wechatws.Message, connection int, text string) {
	u := &r.unanswered
	u.mu.Lock()
	defer u.mu.Unlock()
	v := verdict{connection: connection, data: maphash.Bytes(seed, m.Data), text: text}
	if i := slices.IndexFunc(u.actions, func(a *action) bool {
		return a.connection == connection && time.Since(a.written) < answersWithin
	}); i >= 0 {
		v.action = u.actions[i]
		u.actions = slices.Delete(u.actions, i, i+1)
	}
	if v.action != nil && v.action.saying != nil {
		v.returned = true
		u.settle(v.action.saying, r.refusal(v.action, text, m))
	}
	if len(u.verdicts) < maxVerdicts {
		u.verdicts = append(u.verdicts, v)
	}
	u.pending.Store(int32(len(u.verdicts)))
}

// refused calls the OnRefused callbacks, on the client's callback goroutine.
func (r *Room) refused(ctx context.Context, m wechatws.Message) {
	if r.unanswered.pending.Load() == 0 {
		return
	}
	v, refused := r.unanswered.verdict(m.Connection, maphash.Bytes(seed, m.Data))
	if refused && !v.returned {
		call(ctx, r.onRefused.All(), r.refusal(v.action, v.text, m))
	}
}

// verdict returns the verdict on a message, if it is a refusal. Those of connections before it have
// reached no callback.
func (u *unanswered) verdict(connection int, data uint64) (v verdict, refused bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.verdicts = slices.DeleteFunc(u.verdicts, func(v verdict) bool { return v.connection < connection })
	if i := slices.IndexFunc(u.verdicts, func(v verdict) bool { return v.connection == connection && v.data == data }); i >= 0 {
		v, refused = u.verdicts[i], true
		u.verdicts = slices.Delete(u.verdicts, i, i+1)
	}
	u.pending.Store(int32(len(u.verdicts)))
	return v, refused
}
