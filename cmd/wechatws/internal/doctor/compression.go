package doctor

import (
	"time"
)

var compressionCheck = check{
	name: "compression", does: "open a connection that offers permessage-deflate, and watch it for 1s",
	cost: func(t *Target) cost { return cost{conns: 1, time: t.Timeout + time.Second} },
	run:  (*examination).compression, open: true,
}

func (x *examination) compression() Finding {
	l, d, err := x.open(offer{compression: true})
	if err != nil {
		return Finding{Verdict: Note, Summary: "a handshake that offers it fails: leave WithCompression out", Evidence: []string{err.Error()}}
	}
	defer l.close()
	if d.agreed == "" {
		return Finding{Verdict: OK, Summary: "refused: permessage-deflate was offered, and the server declined it; WithCompression has no effect"}
	}
	x.saw(l.watch(time.Second, nil))
	f := Finding{Verdict: OK, Summary: "accepted: WithCompression saves bytes with messages of 512 bytes and more", Evidence: []string{"Sec-WebSocket-Extensions: " + d.agreed}}
	if l.end != nil && code(l.end.err) == 0 {
		f.Verdict, f.Evidence = Note, append(f.Evidence, ending(l.end.err))
	}
	return f
}
