package wechatws

import "context"

// BeforeConnect registers fn, which is called before every attempt: before the function of
// [WithEndpoint], and before anything is dialed. It is for attempts that have to wait, such as those
// of many clients that share a limit. If fn returns an error, the attempt has failed, with a
// [*DialError] of phase "before", which is permanent if the error is marked with [Permanent].
//
// fn runs on a goroutine of its own. It may block for as long as it likes, which counts against no
// timeout: the client has no connection then and is in [StateConnecting]. It must return when its
// context ends: with [Client.Close], and when the attempt is restarted, by [Client.Reconnect] or a
// change of the network. attempt is the number of the attempt, as in [StateChange]. Several functions
// are called in the order of registration.
//
// BeforeConnect may be called at any time; it has no effect on the current attempt, and remove none on
// a call under way. A nil fn is an [*OptionError], reported to [Client.OnError] and returned by the
// next Connect.
func (c *Client) BeforeConnect(fn func(ctx context.Context, attempt int) error) (remove func()) {
	if fn == nil {
		return c.badCallback("BeforeConnect", "")
	}
	return c.beforeConnect.Add(func(ctx context.Context, a *beginning) {
		if a.err == nil {
			a.err = users.Apart(func() error { return fn(ctx, a.attempt) })
		}
	})
}

// A beginning is what BeforeConnect functions are called with.
type beginning struct {
	attempt int
	err     error // of the first function that failed
}

// callBefore calls the BeforeConnect functions, on the goroutine of the attempt.
func (s *session) callBefore(ctx context.Context, attempt int) error {
	a := &beginning{attempt: attempt}
	callAll(ctx, s.client.beforeConnect.All(), a, func(err error) { a.err = err })
	if a.err != nil {
		return &DialError{Phase: phaseBefore, Err: a.err, text: because(a.err)}
	}
	return nil
}
