package doctor

import (
	"fmt"
	"regexp"
	"slices"
)

var loginCheck = check{name: "login", run: (*examination).login}

// asks is how servers ask for a login.
var asks = regexp.MustCompile(`(?i)log.?in|auth|identify|credential|token|forbidden|sign.?in|登录|登陆|鉴权`)

func (x *examination) login() Finding {
	if x.shake == nil {
		return x.untried()
	}
	var signs []string
	add := func(s string) {
		if !slices.Contains(signs, s) && len(signs) < 4 {
			signs = append(signs, s)
		}
	}
	if x.shake.response != nil {
		if s := x.shake.response.StatusCode; s == 401 || s == 403 {
			add(fmt.Sprintf("status %d", s))
		}
	}
	for _, e := range x.seen {
		if e.text && len(e.data) < 1<<10 && asks.Match(e.data) {
			add("a message about it: " + describe(e, x.path))
		}
	}
	for _, v := range x.observations {
		if !v.stayed() && refusal(v.link.end.err) {
			add("the end of a connection: " + ending(v.link.end.err))
		}
	}
	if x.early != nil {
		add("the early end of a connection: " + ending(x.early))
	}
	all := len(x.observations) > 0
	for _, v := range x.observations {
		all = all && !v.stayed()
	}
	if all {
		add("no connection stays, whatever is sent")
	}
	switch {
	case x.Login != nil && x.early != nil:
		return Finding{Verdict: Fail, Summary: "the connection ends early although there was one", Evidence: signs}
	case x.Login != nil:
		return Finding{Verdict: OK, Summary: "sent; the connection stays"}
	case len(signs) > 0:
		return Finding{Verdict: Note, Summary: "it seems that one is needed: run doctor again with --login or --header", Evidence: signs}
	}
	if x.broken != "" {
		return x.untried()
	}
	return Finding{Verdict: OK, Summary: "no sign that one is needed"}
}

// refusal reports whether a connection ended because of what the client is or does.
func refusal(err error) bool {
	c := code(err)
	return c == 1008 || c == 3000 || c == 3003 || c >= 4000
}
