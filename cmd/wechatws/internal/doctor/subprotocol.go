package doctor

import (
	"fmt"
	"slices"
	"time"
)

// unknownName is a subprotocol that no server knows: one that selects it selects any.
const unknownName = "doctor.invalid"

// knownNames are the subprotocols that are offered, in two lists: libwebsockets refuses a handshake
// with a list of 128 bytes.
var knownNames = [][]string{
	{"graphql-transport-ws", "graphql-ws", "actioncable-v1-json", "mqtt", "janus-protocol", "v12.stomp", "ocpp1.6"},
	{"wamp.2.json", "v1.kernel.websocket.jupyter.org", "ocpp2.0.1", "sip", "xmpp"},
}

var subprotocolCheck = check{
	name: "subprotocols", does: "open connections that offer usual subprotocols, and watch them for 1s; once more with the one selected",
	cost: func(t *Target) cost { return cost{conns: 3, time: 3 * (t.Timeout + pause + time.Second)} },
	run:  (*examination).subprotocols,
}

func (x *examination) subprotocols() Finding {
	switch {
	case x.shake == nil, x.shake.unfollowed():
		return x.untried()
	case len(x.Subprotocols) > 0:
		if x.shake.conn == nil {
			return x.untried()
		}
		if s := x.shake.conn.Subprotocol(); s != "" {
			return Finding{Verdict: OK, Summary: fmt.Sprintf("the server selects %q of those given", s)}
		}
		return Finding{Verdict: Fail, Summary: "the server selects none of those given: with WithSubprotocols every attempt fails"}
	}
	selected, opened := "", x.shake.conn != nil
	for _, names := range knownNames {
		if selected == "" && (opened || x.shake.response == nil) {
			selected, _ = x.tryNames(append([]string{unknownName}, names...))
		}
	}
	switch {
	case selected == "" && x.shake.response != nil && x.broken != "":
		return x.untried()
	case selected == "" && x.broken != "":
		return Finding{Verdict: Fail, Summary: "the handshake fails with usual ones as well"}
	case selected == "":
		return Finding{Verdict: OK, Summary: fmt.Sprintf("none: the server selects none of %d usual ones", len(slices.Concat(knownNames...)))}
	case selected == unknownName && x.broken != "":
		return Finding{Verdict: Fail, Summary: "the server requires a subprotocol, and selects any that is offered: run doctor with --subprotocol"}
	case selected == unknownName:
		return Finding{Verdict: Note, Summary: "the server selects any that is offered, also one that does not exist"}
	}
	before := x.broken
	if _, stays := x.tryNames([]string{selected}); !stays {
		verdict := Note
		if before != "" {
			verdict = Fail // a connection without it is not possible either
		}
		return Finding{Verdict: verdict, Summary: fmt.Sprintf("the server knows %q, and ends a connection with it", selected)}
	}
	f := Finding{Verdict: Needs, Summary: fmt.Sprintf("the server requires %q", selected), Options: []Option{withSubprotocols(selected)}}
	switch {
	case before != "":
		f.Evidence = []string{"without it " + before}
	case x.early != nil:
		f.Evidence = []string{"without it: " + ending(x.early)}
	default:
		f.Summary = fmt.Sprintf("the server knows %q, and does not require it: a program that supports it should offer it", selected)
	}
	x.subprotocol, x.broken, x.early = selected, "", nil
	return f
}

// tryNames offers names, and returns the one that is selected, and whether the connection stays for
// a second.
func (x *examination) tryNames(names []string) (selected string, stays bool) {
	l, d, err := x.open(offer{subprotocols: names})
	if err != nil {
		return "", false
	}
	defer l.close()
	if x.shake.conn == nil {
		x.shake = &d
	}
	l.watch(time.Second, nil)
	return l.conn.Subprotocol(), l.end == nil
}
