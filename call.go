package wechatws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/peek"
	"github.com/wechatws/wechatws/internal/printable"
)

// WithRequestID sets where messages have the id that a [Call] and its answer share, by default in
// the field "id". The path is as in [WithTypePath]: WithRequestID("echo"),
// WithRequestID("header", "seq"), and WithRequestID("1") for [3,"19223201","Heartbeat",{}]. For a
// protocol whose answers have the id in another place than its requests, use [Client.Request].
func WithRequestID(path ...string) Option {
	return setting("WithRequestID", func(c *config) error {
		c.requestID = slices.Clone(path)
		return checkPath("WithRequestID", path)
	})
}

// Call sends v as [Client.Send] does, and returns the answer, decoded into a T, which may also be
// [Message]: the first message from then on that has the id of v. It blocks until then, or until ctx
// ends. The answer reaches the callbacks as well; it is not an error if none of them takes it. However
// many calls wait, a message is searched once for an id, and only the call with that id sees it.
//
// [WithRequestID] sets where the id is, by default in the field "id". It is a string or a number;
// the string "7" and the number 7 are two ids, and so are 7 and 7.0. If v has none, and the place
// is a field of the message itself, Call adds a number between 1<<20 and 1<<31, which leaves smaller
// ones to the program. Otherwise v must have one that no other call waits for, or the error is an
// [*OptionError]. Where ids must be strings, v has them.
//
// If T or *T has a method Err() error, Call returns what it returns, together with the answer. So
// the error of a protocol is a type of the program, with the fields of the protocol:
//
//	type answer struct {
//		Result json.RawMessage
//		Error  *rpcError // with the method Error
//	}
//
//	func (a *answer) Err() error {
//		if a.Error == nil {
//			return nil // not a.Error, which is an error that is not nil
//		}
//		return a.Error
//	}
//
// Err is not called for a T that is a nil pointer, to which null is decoded. If it panics, the
// error is a [*PanicError].
//
// The other errors are those of Client.Request, without that of [ExpireAfter], and a
// [*DecodeError] if the answer does not fit T. v is encoded once, by the call: a message whose
// content depends on the connection is sent by Request with [EncodeOnWrite].
//
// c is a client or, in a function of [Client.AfterConnect], its [Setup]. As Request, Call may be
// called from any goroutine; in a callback, give it the context of the callback.
func Call[T any, C *Client | *Setup](ctx context.Context, c C, v any) (T, error) {
	var result T
	if err := needContext(ctx, "Call"); err != nil {
		return result, err
	}
	var answer Message
	var err error
	switch c := any(c).(type) {
	case *Client:
		answer, err = c.call(ctx, v)
	case *Setup:
		answer, err = c.call(ctx, v)
	}
	if err != nil {
		return result, err
	}
	if raw, ok := any(&result).(*Message); ok {
		*raw = answer
		return result, nil
	}
	err = users.Protect(func() error {
		if err := answer.Decode(&result); err != nil {
			return err
		}
		return failure(&result)
	})
	return result, err
}

// failure returns the result of the Err method of a T or *T; nil if it has none.
func failure[T any](result *T) error {
	if f, ok := any(*result).(interface{ Err() error }); ok {
		if boundary.IsNil(f) {
			return nil
		}
		return f.Err()
	}
	if f, ok := any(result).(interface{ Err() error }); ok {
		return f.Err()
	}
	return nil
}

// call sends v and returns the answer.
func (c *Client) call(ctx context.Context, v any) (Message, error) {
	m, id, err := c.identified(v)
	if err != nil {
		return Message{}, err
	}
	out := &queued{Size: len(m.Data)}
	out.Value.Outbound = m
	return c.ask(ctx, &request{id: id, sent: out})
}

// call is [Client.call] before the connection is open.
func (o *Setup) call(ctx context.Context, v any) (Message, error) {
	c := o.link.client
	m, id, err := c.identified(v)
	if err != nil {
		return Message{}, err
	}
	return o.Request(ctx, m, func(m Message) bool { return string(idOf(m.Data, c.cfg.requestID)) == id })
}

// identified encodes v, with an id.
func (c *Client) identified(v any) (m Outbound, id string, err error) {
	if m, err = encode(c.cfg.codec, v); err != nil {
		return m, "", err
	}
	m = Outbound{Binary: m.Binary, Data: m.Data, shared: m.shared} // encoded once
	path := c.cfg.requestID
	token, valid := peek.Token(m.Data, path)
	rest, isObject := bytes.CutPrefix(bytes.TrimLeft(m.Data, " \t\r\n"), []byte("{"))
	switch {
	case isID(token):
		return m, string(idIn(token)), nil
	case !valid || token != nil || len(path) > 1 || !isObject:
		want := "must have a string or a number as id, at WithRequestID(" + quoted(path) + ")"
		return m, "", wrong("Call", fmt.Sprintf("%T", v), want)
	}
	id = strconv.FormatInt(c.requests.lastID.Add(1), 10)
	data := []byte(`{"` + path[0] + `":` + id)
	if !bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte("}")) {
		data = append(data, ',')
	}
	m.Data, m.shared = append(data, rest...), false
	return m, id, nil
}

// firstID returns a number below the first id of a client's calls. Ids of a server's own requests
// begin at 0 or 1, and some servers keep ids in 32 bits.
func firstID() int64 { return 1<<20 + rand.Int64N(1<<30) }

// idInUse returns the error of a call whose id another call waits for.
func idInUse(id string) error {
	shown := printable.Text(id)
	if content, isString := strings.CutPrefix(id, `"`); isString {
		shown = printable.Quote(content)
	}
	return wrong("Call", "id "+shown, "another call waits for an answer with this id; give each call its own")
}

// isID reports whether a token is a string or a number.
func isID(token []byte) bool {
	return len(token) > 0 && (token[0] == '"' || token[0] == '-' || token[0] >= '0' && token[0] <= '9')
}

// idOf returns the id of a message as calls are found by it; nil: there is none.
func idOf(data []byte, path []string) []byte {
	token, _ := peek.Token(data, path)
	return idIn(token)
}

// idIn returns the id that a token is: the JSON text of a number, or the content of a string behind a
// quote. It may be a part of the token; nil: it is none.
func idIn(token []byte) []byte {
	switch {
	case !isID(token):
		return nil
	case token[0] != '"':
		return token
	case bytes.IndexByte(token, '\\') < 0:
		return token[:len(token)-1]
	}
	var content string
	_ = json.Unmarshal(token, &content) // it is valid
	return []byte(`"` + content)
}
