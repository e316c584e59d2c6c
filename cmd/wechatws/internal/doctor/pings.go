package doctor

import (
	"fmt"
	"slices"
	"time"

	"github.com/wechatws/wechatws"
)

const (
	pings     = 5
	pongWait  = 2 * time.Second
	pingPause = 200 * time.Millisecond
)

var pingCheck = check{
	name: "pings", does: fmt.Sprintf("send %d protocol pings", pings),
	cost: func(t *Target) cost { return t.sessions(1, pings*(pongWait+pingPause)+time.Second) },
	run:  (*examination).pings, open: true,
}

func (x *examination) pings() Finding {
	l, none := x.settled()
	if none != nil {
		return *none
	}
	defer l.close()
	for range pings {
		took, ok := l.roundTrip(pongWait)
		if !ok {
			break
		}
		x.pingTimes = append(x.pingTimes, took)
		x.saw(l.watch(pingPause, nil))
	}
	x.pongs = len(x.pingTimes) > 0
	slices.Sort(x.pingTimes)
	switch {
	case len(x.pingTimes) == pings:
		return Finding{Verdict: OK, Summary: fmt.Sprintf("answered, median %v: half-open connections are found without a heartbeat", round(x.pingTimes[pings/2]))}
	case l.end != nil:
		return Finding{Verdict: Note, Summary: "the connection ended before all were answered", Evidence: []string{ending(l.end.err)}}
	case x.pongs:
		return Finding{Verdict: Note, Summary: fmt.Sprintf("%d answered, and then none within %v", len(x.pingTimes), pongWait)}
	}
	return Finding{Verdict: Needs, Summary: fmt.Sprintf("not answered within %v: a heartbeat that is answered has to show that the server is alive", pongWait)}
}

// roundTrip sends a ping and waits for its pong. Other events are lost.
func (l *link) roundTrip(d time.Duration) (took time.Duration, ok bool) {
	began := time.Now()
	l.ping()
	for _, e := range l.watch(d, func(e event) bool { return e.kind == pong }) {
		if e.kind == pong {
			return e.at.Sub(began), true
		}
	}
	return 0, false
}

// withoutLiveness is for servers that show no sign of life on demand.
func withoutLiveness() Option {
	return Option{Code: "wechatws.WithoutLiveness()", sets: "liveness", value: wechatws.WithoutLiveness()}
}
