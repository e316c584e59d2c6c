package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
)

// A session is what the server says of it at its start: where it is resumed.
type session struct {
	ID  string `json:"session"`
	URL string `json:"url"`
}

type event struct {
	N    int64  `json:"n"`
	Text string `json:"text"`
}

// A feed receives numbered events. Each new connection goes on behind the last one, at the server that
// has the session.
type feed struct {
	client  *wechatws.Client
	session atomic.Pointer[session] // nil: there is none to resume
	last    atomic.Int64            // the number of the last event
}

// newFeed makes a feed, which calls got with each event.
func newFeed(url string, got func(event), options ...wechatws.Option) (*feed, error) {
	f := &feed{}
	client, err := wechatws.New("", append([]wechatws.Option{
		wechatws.WithEndpoint(func(_ context.Context, _ int, last error) (wechatws.Endpoint, error) {
			var unreachable *wechatws.DialError
			if s := f.session.Load(); s != nil && !errors.As(last, &unreachable) {
				return wechatws.Endpoint{URL: s.URL}, nil
			}
			return wechatws.Endpoint{URL: url}, nil // it knows the session too
		}),
	}, options...)...)
	if err != nil {
		return nil, err
	}
	f.client = client
	client.AfterConnect(10*time.Second, f.resume)
	wechatws.On(client, "event", func(_ context.Context, e event) {
		got(e)
		f.last.Store(e.N)
	})
	return f, nil
}

// resume starts the session, or resumes it. It runs behind the callbacks of the connection before.
func (f *feed) resume(ctx context.Context, setup *wechatws.Setup) error {
	start := map[string]any{"msg_type": "start"}
	if s := f.session.Load(); s != nil {
		start = map[string]any{"msg_type": "resume", "session": s.ID, "after": f.last.Load()}
	}
	if err := setup.Send(ctx, start); err != nil {
		return err
	}
	m, err := setup.Receive(ctx)
	if err != nil {
		return err
	}
	var ready session
	if err := m.Decode(&ready); err != nil {
		return err
	}
	f.session.Store(&ready)
	return nil
}
