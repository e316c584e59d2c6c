package doctor

import (
	"fmt"
	"net/http"
	"net/url"
)

var proxyCheck = check{name: "proxy", run: (*examination).findProxy}

func (x *examination) findProxy() Finding {
	if x.Proxy == nil {
		return Finding{Verdict: OK, Summary: "none"}
	}
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
	return Finding{Verdict: Note, Summary: fmt.Sprintf("connections go through %s", (&url.URL{Scheme: p.Scheme, Host: p.Host}).String())}
}
