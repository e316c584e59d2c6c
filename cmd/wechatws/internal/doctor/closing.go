package doctor

import (
	"fmt"
	"time"
)

// closeWait is how long the answer to a close frame is waited for.
const closeWait = 3 * time.Second

var closeCheck = check{
	name: "close", does: fmt.Sprintf("close a connection with 1000, and wait %v for the answer", closeWait),
	cost: func(t *Target) cost { return t.sessions(1, closeWait+time.Second) },
	run:  (*examination).closing, open: true,
}

func (x *examination) closing() Finding {
	l, none := x.settled()
	if none != nil {
		return *none
	}
	defer l.close()
	began := time.Now()
	l.write(writeWait, func() error { return l.conn.AppendClose(1000, "") })
	x.saw(l.watch(closeWait, nil))
	f := Finding{Verdict: OK}
	switch {
	case l.end == nil:
		f.Verdict, f.Summary = Note, fmt.Sprintf("a close frame is not answered within %v: Close takes that long", closeWait)
	case code(l.end.err) != 0:
		f.Summary = fmt.Sprintf("a close frame is answered after %v: %s", round(l.end.at.Sub(began)), ending(l.end.err))
	default:
		f.Verdict, f.Summary = Note, fmt.Sprintf("a close frame is answered after %v without one: %s", round(l.end.at.Sub(began)), ending(l.end.err))
	}
	ends := map[string]int{}
	for _, v := range x.observations {
		if !v.stayed() {
			ends[ending(v.link.end.err)]++
		}
	}
	for how, n := range ends {
		f.Evidence = append(f.Evidence, fmt.Sprintf("the server's own end of %s above: %s", count(n, "connection"), how))
	}
	return f
}
