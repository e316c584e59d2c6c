package doctor

import (
	"bytes"
	"fmt"
	"time"
)

const (
	firstSize = 1 << 10
	sizeWait  = 3 * time.Second
)

var sizeCheck = check{
	name: "size", does: "send messages of 1 KiB, 4 KiB and so on, up to the largest size (--max-message), each followed by a ping",
	cost: func(t *Target) cost {
		n := t.sessions(1, time.Second)
		for _, size := range t.sizes() {
			n.messages++
			n.bytes += size
			n.time += sizeWait + longer(size)
		}
		return n
	},
	run: (*examination).largest, open: true,
}

// sizes returns the sizes of the messages that are sent.
func (t *Target) sizes() (list []int) {
	for n := firstSize; n < t.MaxMessage; n *= 4 {
		list = append(list, n)
	}
	return append(list, max(t.MaxMessage, 64))
}

func (x *examination) largest() Finding {
	l, none := x.settled()
	if none != nil {
		return *none
	}
	defer l.close()
	taken := 0
	for _, n := range x.sizes() {
		l.send(x.padded(n))
		wait := sizeWait + longer(n)
		answered := true
		if x.pongs {
			_, answered = l.roundTrip(wait)
		} else {
			l.watch(sizeWait, nil)
		}
		switch {
		case l.end != nil && taken == 0:
			return Finding{Verdict: Unknown, Summary: fmt.Sprintf("the server ends the connection at an unknown message of %s: %s", size(n), ending(l.end.err))}
		case l.end != nil:
			return Finding{
				Verdict:  Note,
				Summary:  fmt.Sprintf("messages of %s are taken, one of %s ends the connection", size(taken), size(n)),
				Evidence: []string{ending(l.end.err)},
			}
		case !answered:
			return Finding{Verdict: Note, Summary: fmt.Sprintf("messages of %s are taken; after one of %s no ping is answered within %v", size(taken), size(n), wait)}
		}
		taken = n
	}
	return Finding{Verdict: OK, Summary: fmt.Sprintf("messages of %s are taken", size(taken))}
}

// padded returns a message of n bytes that a server ignores at best: the default heartbeat with a
// field that it does not know.
func (x *examination) padded(n int) []byte {
	begin, end := fmt.Sprintf(`{%q:"ping","doctor":"`, x.path[0]), `"}`
	return fmt.Appendf(nil, "%s%s%s", begin, bytes.Repeat([]byte("x"), max(0, n-len(begin)-len(end))), end)
}
