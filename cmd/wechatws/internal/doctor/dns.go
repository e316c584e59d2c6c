package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// maxAddresses is how many addresses of a name are tried.
const maxAddresses = 8

var dnsCheck = check{
	name: "dns", does: "look up the addresses of the host",
	cost: func(t *Target) cost { return cost{time: t.Timeout} },
	run:  (*examination).dns,
}

func (x *examination) dns() Finding {
	x.resolved = true
	host := x.url.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		x.addrs = []netip.Addr{addr}
		return Finding{Verdict: OK, Summary: "the URL has an address, no name"}
	}
	ctx, cancel := context.WithTimeout(x.ctx, x.Timeout)
	defer cancel()
	began := time.Now()
	addrs, err := x.Resolve(ctx, "ip", host)
	took := time.Since(began)
	if err != nil {
		return Finding{Verdict: Fail, Summary: fmt.Sprintf("the name %s cannot be resolved", host), Evidence: []string{err.Error()}}
	}
	f := Finding{Verdict: OK, Summary: fmt.Sprintf("%s has %d addresses, found in %v", host, len(addrs), round(took))}
	if len(addrs) == 1 {
		f.Summary = fmt.Sprintf("%s has one address, found in %v", host, round(took))
	}
	if took > time.Second {
		f.Verdict = Note
	}
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		x.addrs = append(x.addrs, a.Unmap())
		f.Evidence = append(f.Evidence, a.Unmap().String())
	}
	return f
}

// round returns a duration with the digits that matter.
func round(d time.Duration) time.Duration {
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond)
	case d < time.Second:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(100 * time.Millisecond)
}
