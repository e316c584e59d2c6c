package doctor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

// trial is how long the client runs at least: long enough for its liveness to judge the server.
const trial = 12 * time.Second

// alone is how long the client runs if silence has shown no limit while doctor sent heartbeats that the
// client does not send: a server that counts the messages of all connections of a user together may have
// hidden its limit.
func (t *Target) alone() time.Duration { return max(trial, t.Silence) }

// maxTrials is how many clients run, one after the other.
const maxTrials = 1 + maxBeats

var clientCheck = check{
	name: "client", does: fmt.Sprintf("run a client with the options found for %v, or for as long as silence watched if it has shown no limit; again with heartbeats, up to %d times, if it does not last", trial, maxTrials-1),
	cost: func(t *Target) cost {
		n := t.sessions(maxTrials, maxTrials*(t.alone()+5*time.Second))
		beats := maxTrials * max(int(trial/time.Second), int(t.alone()/pulse))
		n.messages += beats
		n.bytes += beats * max(64, len(t.Heartbeat))
		return n
	},
	run: (*examination).client, open: true,
}

func (x *examination) client() Finding {
	d := trial
	if x.mayHideLimit() {
		d = x.alone()
	}
	f, lasted := x.trial(x.chosen(), d)
	if lasted {
		return f
	}
	// The server may count the signs of life of all connections of one user together, and so have
	// shown no limit of silence.
	for _, b := range x.beats {
		if b.refused != "" || x.limit == 0 || x.banned != nil {
			continue
		}
		o := x.option(b)
		if repaired, lasted := x.trial(append(x.chosen(), o), d); lasted {
			repaired.Verdict, repaired.Options = Needs, []Option{o}
			repaired.Summary += "; without this heartbeat, " + f.Summary
			repaired.Evidence = append(f.Evidence, "the check of silence cannot see it: the server counts the heartbeats of all connections of a user as one")
			return repaired
		}
	}
	return f
}

// mayHideLimit reports whether a silent connection stayed open while another one sent a heartbeat that the
// client does not send.
func (x *examination) mayHideLimit() bool {
	other := func(v *observation) bool { return v.beat != nil && v.beat != x.beat }
	return slices.ContainsFunc(x.observations, other) && x.observations[0].stayed()
}

// trial runs a client for d, and reports whether its connection lasted.
func (x *examination) trial(found []Option, d time.Duration) (f Finding, lasted bool) {
	x.limit--
	options := append(x.dialing(), wechatws.WithoutReconnect())
	if len(x.Subprotocols) > 0 {
		options = append(options, wechatws.WithSubprotocols(x.Subprotocols...))
	}
	if x.Login != nil {
		options = append(options, wechatws.WithLoginMessage(wechatws.Text(x.Login)))
	}
	for _, o := range found {
		options = append(options, o.value)
	}
	client, err := wechatws.New(x.URL, options...)
	if err != nil {
		return Finding{Verdict: Fail, Summary: "the options do not fit each other", Evidence: []string{err.Error()}}, false
	}
	defer func() { client.CloseNow(); <-client.Done() }()
	var mu sync.Mutex
	var problems []string
	client.OnError(func(_ context.Context, err error) {
		mu.Lock()
		defer mu.Unlock()
		if len(problems) < 4 {
			problems = append(problems, err.Error())
		}
	})
	if err := client.Connect(x.ctx); err != nil {
		x.obey(err)
		return Finding{Verdict: Fail, Summary: "it does not connect", Evidence: []string{err.Error()}}, false
	}
	began := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-client.Done():
	case <-timer.C:
	case <-x.ctx.Done():
	}
	if x.ctx.Err() != nil {
		return Finding{Verdict: Unknown, Summary: "the time was over before it could be judged"}, true
	}
	s := client.Stats()
	mu.Lock()
	defer mu.Unlock()
	if s.State != wechatws.StateOpen {
		f := Finding{Verdict: Fail, Summary: fmt.Sprintf("the connection ended after %v", round(time.Since(began))), Evidence: problems}
		if s.LastError != nil {
			f.Evidence = append(f.Evidence, s.LastError.Error())
		}
		return f, false
	}
	f = Finding{Verdict: OK, Summary: fmt.Sprintf("open for %v with the options found, %s received", d, count(int(s.MessagesIn), "message"))}
	if f.Evidence = problems; len(problems) > 0 {
		f.Verdict = Note
	}
	return f, true
}
