package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

// trial is how long the client runs: long enough for its liveness to judge the server.
const trial = 12 * time.Second

var clientCheck = check{
	name: "client", does: fmt.Sprintf("run a client with the options found for %v", trial),
	cost: func(t *Target) cost {
		n := t.sessions(1, trial+5*time.Second)
		n.messages += int(trial / time.Second)
		n.bytes += int(trial/time.Second) * max(64, len(t.Heartbeat))
		return n
	},
	run: (*examination).client, open: true,
}

func (x *examination) client() Finding {
	if x.limit == 0 {
		return x.noConnection(fmt.Errorf("the connections of the plan are used up"))
	}
	x.limit--
	options := append(x.dialing(), wechatws.WithoutReconnect())
	if len(x.Subprotocols) > 0 {
		options = append(options, wechatws.WithSubprotocols(x.Subprotocols...))
	}
	if x.Login != nil {
		options = append(options, wechatws.WithLoginMessage(wechatws.Text(x.Login)))
	}
	for _, o := range x.chosen() {
		options = append(options, o.value)
	}
	client, err := wechatws.New(x.URL, options...)
	if err != nil {
		return Finding{Verdict: Fail, Summary: "the options do not fit each other", Evidence: []string{err.Error()}}
	}
	defer func() { client.CloseNow(); <-client.Done() }()
	var mu sync.Mutex
	var problems []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		if len(problems) < 4 {
			problems = append(problems, s)
		}
	}
	client.OnError(func(_ context.Context, err error) { note(err.Error()) })
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) {
		if e.Remote {
			note(fmt.Sprintf("the connection ended with %d", e.Code))
		}
	})
	if err := client.Connect(x.ctx); err != nil {
		return Finding{Verdict: Fail, Summary: "it does not connect", Evidence: []string{err.Error()}}
	}
	timer := time.NewTimer(trial)
	defer timer.Stop()
	select {
	case <-client.Done():
	case <-timer.C:
	case <-x.ctx.Done():
	}
	s := client.Stats()
	mu.Lock()
	defer mu.Unlock()
	f := Finding{Verdict: OK, Summary: fmt.Sprintf("open for %v with the options above, %s received", trial, count(int(s.MessagesIn), "message")), Evidence: problems}
	switch {
	case s.State != wechatws.StateOpen:
		f.Verdict, f.Summary = Fail, "its connection does not last with the options above"
		if s.LastError != nil {
			f.Evidence = append(f.Evidence, s.LastError.Error())
		}
	case len(problems) > 0:
		f.Verdict = Note
	}
	return f
}
