package doctor

import (
	"fmt"
	"time"
)

// listening is how long a check waits for messages that arrive without a request.
const listening = 3 * time.Second

var messageCheck = check{
	name: "messages", does: fmt.Sprintf("open a connection, log in, and read for %v", listening),
	cost: func(t *Target) cost { return t.sessions(1, listening) },
	run:  (*examination).firstMessages, open: true,
}

func (x *examination) firstMessages() Finding {
	l, err := x.openAndLogIn()
	if err != nil {
		return x.noConnection(err)
	}
	defer l.close()
	events := l.watch(listening, nil)
	x.saw(events)
	x.guessPath()
	f := Finding{Verdict: OK}
	list := messages(events)
	switch {
	case len(list) > 0:
		f.Summary = fmt.Sprintf("%d within %v, the first after %v", len(list), listening, round(list[0].at.Sub(l.opened)))
	case x.Login == nil:
		f.Summary = fmt.Sprintf("none within %v without a login (--login sends one)", listening)
	default:
		f.Summary = fmt.Sprintf("none within %v after the login", listening)
	}
	f.Evidence = x.describeEach(list)
	x.early = nil // that of the first connection was without a login
	if l.end != nil {
		x.early = l.end.err
		f.Verdict = Note
		f.Evidence = append(f.Evidence, fmt.Sprintf("the connection ended after %v: %s", round(l.lasted()), ending(l.end.err)))
	}
	return f
}

// noConnection is the finding of a check whose connection cannot be made although one could before.
func (x *examination) noConnection(err error) Finding {
	return Finding{Verdict: Unknown, Summary: "no connection for it", Evidence: []string{err.Error()}}
}

// describeEach describes messages, those that look the same once.
func (x *examination) describeEach(list []event) (lines []string) {
	const most = 6
	counts := map[string]int{}
	for _, e := range list {
		s := describe(e, x.path)
		if counts[s]++; counts[s] == 1 && len(lines) < most {
			lines = append(lines, s)
		}
	}
	for i, s := range lines {
		if counts[s] > 1 {
			lines[i] = fmt.Sprintf("%d × %s", counts[s], s)
		}
	}
	if len(counts) > most {
		lines = append(lines, fmt.Sprintf("… and %d others", len(counts)-most))
	}
	return lines
}
