package doctor

import (
	"context"
	"fmt"
	"net"
	"time"
)

var addressCheck = check{
	name: "addresses", does: fmt.Sprintf("connect to each address by TCP, to %d at most", maxAddresses),
	cost: func(t *Target) cost { return cost{conns: maxAddresses, time: maxAddresses * t.Timeout} },
	run:  (*examination).reach,
}

func (x *examination) reach() Finding {
	var to []string
	switch {
	case x.proxy != nil:
		p := x.proxy.Port()
		if p == "" {
			p = map[string]string{"http": "80", "https": "443"}[x.proxy.Scheme]
		}
		to = []string{net.JoinHostPort(x.proxy.Hostname(), p)}
	case !x.resolved:
		to = []string{net.JoinHostPort(x.url.Hostname(), port(x.url))}
	default:
		for _, a := range x.addrs {
			to = append(to, net.JoinHostPort(a.String(), port(x.url)))
		}
	}
	var f Finding
	good := 0
	for _, addr := range to {
		x.limit--
		began := time.Now()
		ctx, cancel := context.WithTimeout(x.ctx, x.Timeout)
		c, err := x.Dial(ctx, "tcp", addr)
		cancel()
		if err != nil {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %v", addr, err))
			continue
		}
		took := time.Since(began)
		c.Close()
		if good++; x.reached == "" {
			x.reached, x.connect = addr, took
		}
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: TCP in %v", addr, round(took)))
	}
	switch {
	case len(to) == 0:
		f.Verdict, f.Summary, x.broken = Fail, "there is no address", "the name cannot be resolved"
	case good == 0:
		f.Verdict, f.Summary, x.broken = Fail, "no address accepts connections", "no address accepts connections"
	case good < len(to):
		f.Verdict, f.Summary = Note, fmt.Sprintf("%d of %d addresses accept connections; the library tries those that failed last", good, len(to))
	case good == 1:
		f.Verdict, f.Summary = OK, "it accepts connections"
	default:
		f.Verdict, f.Summary = OK, fmt.Sprintf("all %d accept connections", good)
	}
	return f
}
