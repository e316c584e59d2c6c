package doctor

import (
	"fmt"
	"net/http"
	"net/url"
)

var proxyCheck = check{
	name: "proxy", does: "read the proxy's settings in the environment",
	cost: func(*Target) cost { return cost{} },
	run:  (*examination).findProxy,
}

func (x *examination) findProxy() Finding {
	u := *x.url
	u.Scheme = "http"
	if x.url.Scheme == "wss" {
		u.Scheme = "https"
	}
	p, err := x.Proxy(&http.Request{URL: &u, Header: http.Header{}})
	switch {
	case err != nil:
		return Finding{Verdict: Fail, Summary: "the proxy's settings cannot be used: see HTTP_PROXY, HTTPS_PROXY and NO_PROXY"}
	case p == nil:
		return Finding{Verdict: OK, Summary: "none"}
	}
	x.proxy = p
	f := Finding{Verdict: Note, Summary: fmt.Sprintf("connections go through the proxy %s", (&url.URL{Scheme: p.Scheme, Host: p.Host}).String())}
	f.Evidence = []string{"from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY); WithProxy sets another one"}
	return f
}
