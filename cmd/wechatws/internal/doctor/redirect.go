package doctor

import "fmt"

var redirectCheck = check{name: "redirects", run: (*examination).redirects}

func (x *examination) redirects() Finding {
	if x.shake == nil {
		return x.untried()
	}
	if len(x.shake.hops) == 0 {
		return Finding{Verdict: OK, Summary: "none"}
	}
	f := Finding{Verdict: Note}
	for _, h := range x.shake.hops {
		line := fmt.Sprintf("status %d from %s to %s", h.status, h.from.Host, h.to.Host)
		if h.from.Host == h.to.Host {
			line = fmt.Sprintf("status %d to another path of %s", h.status, h.from.Host)
		}
		if h.err != nil {
			line += ", not followed: " + h.err.Error()
		}
		f.Evidence = append(f.Evidence, line)
	}
	last := x.shake.hops[len(x.shake.hops)-1]
	switch {
	case last.err != nil && last.from.Host != last.to.Host:
		f.Verdict = Fail
		f.Summary = fmt.Sprintf("the server redirects to another host, %s: run doctor with its URL; WithCrossHostRedirects follows redirects, without the header and the login", last.to.Host)
	case last.err != nil:
		f.Verdict, f.Summary = Fail, fmt.Sprintf("a redirect to %s is not followed", last.to.Host)
	default:
		f.Summary = fmt.Sprintf("%d followed: a URL without them connects faster", len(x.shake.hops))
	}
	return f
}

// unfollowed reports whether the client did not follow the last redirect.
func (d *dialed) unfollowed() bool {
	return len(d.hops) > 0 && d.hops[len(d.hops)-1].err != nil
}
