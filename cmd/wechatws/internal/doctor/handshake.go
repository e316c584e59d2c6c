package doctor

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/wechatws/wechatws"
)

var handshakeCheck = check{
	name: "handshake", does: "open a WebSocket connection, and watch it for 1s",
	cost: func(t *Target) cost { return cost{conns: 1, time: t.Timeout + time.Second} },
	run:  (*examination).handshake, open: true,
}

func (x *examination) handshake() Finding {
	l, d, err := x.open(offer{})
	x.shake = &d
	if err != nil {
		return x.refused(d, err)
	}
	defer l.close()
	events := l.watch(time.Second, nil)
	x.saw(events)
	f := Finding{Verdict: OK, Summary: fmt.Sprintf("status 101 in %v", round(d.answered.Sub(d.requested)))}
	f.Evidence = append(f.Evidence, about(d.response)...)
	if l.end != nil {
		x.early = l.end.err
		f.Verdict, f.Summary = Note, fmt.Sprintf("accepted, and ended %v later", round(l.lasted()))
		f.Evidence = append(f.Evidence, ending(l.end.err))
	}
	return f
}

// refused describes a handshake that has failed. The check of subprotocols still tries.
func (x *examination) refused(d dialed, err error) Finding {
	f := Finding{Verdict: Fail}
	var refusal *wechatws.HandshakeError
	if !errors.As(err, &refusal) {
		x.broken = "the handshake fails"
		f.Summary = "the handshake fails: " + err.Error()
		switch {
		case d.unfollowed():
			x.broken = "a redirect is not followed"
		case len(x.Subprotocols) == 0: // perhaps for want of one
			f.Verdict = Note
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			f.Summary = "the server ends the connection instead of answering"
		}
		f.Evidence = []string{err.Error()}
		return f
	}
	f.Summary = fmt.Sprintf("refused with status %d %s", refusal.Status, http.StatusText(refusal.Status))
	switch refusal.Status {
	case 101:
		f.Summary = "the server's answer is not a valid upgrade: " + err.Error()
	case 401:
		f.Summary += ": it wants credentials in the handshake (--header)"
	case 403:
		f.Summary += ": it wants credentials or an Origin in the handshake (--header)"
	case 404:
		f.Summary += ": is the path right?"
	case 426:
		f.Summary += ": it wants another version of the protocol"
	}
	x.broken = fmt.Sprintf("the handshake is refused with status %d", refusal.Status)
	f.Evidence = append(f.Evidence, about(d.response)...)
	if len(refusal.Body) > 0 {
		body := x.hideCut(string(refusal.Body))
		f.Evidence = append(f.Evidence, "the answer begins: "+body[:min(len(body), 120)])
	}
	return f
}

// about returns the fields of an answer that say who has given it.
func about(r *http.Response) (lines []string) {
	if r == nil {
		return nil
	}
	for _, name := range []string{"Server", "Via", "X-Powered-By", "Sec-WebSocket-Protocol", "WWW-Authenticate"} {
		if v := r.Header.Get(name); v != "" {
			lines = append(lines, name+": "+v)
		}
	}
	if cookies := r.Cookies(); len(cookies) > 0 {
		names := ""
		for _, c := range cookies[:min(len(cookies), 8)] {
			names += " " + c.Name
		}
		lines = append(lines, "cookies:"+names+"; a load balancer may need them back: WithCookieJar")
	}
	return lines
}
