package wechatws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// WithEndpoints gives the client the URLs of several servers of the same service, by default the one
// url given to [New], which must be empty with this option. An attempt is made at the first of them.
// A server whose attempt has failed or whose connection has ended, except by [Client.Reconnect], is
// tried after the others; 10 minutes later it has its place again. An open connection is not given
// up for that.
//
// The wait between two attempts is that of the schedule. [OpenEvent] has the server. Before the first
// open, a configuration error such as a 404 ends the client when each server has returned it, see
// [DefaultRetryIf]. To spread clients over the servers, shuffle the URLs for each client. For a list
// that changes there is [WithEndpoint].
func WithEndpoints(urls ...string) Option {
	return setting("WithEndpoint", func(c *config) error {
		c.endpoint, c.urls = nil, slices.Clone(urls)
		var errs []error
		if len(urls) == 0 {
			errs = append(errs, wrong("WithEndpoints", "none", "give at least one URL"))
		}
		for i, raw := range urls {
			u, err := parseURL(raw)
			if wrongURL := (*OptionError)(nil); errors.As(err, &wrongURL) {
				errs = append(errs, wrong("WithEndpoints", fmt.Sprintf("url %d of %d: %s", i+1, len(urls), wrongURL.Value), wrongURL.Want))
				continue
			}
			c.urls[i] = u.String()
		}
		return errors.Join(errs...)
	})
}

// returnAfter is how long a server that has failed is tried after the others.
const returnAfter = 10 * time.Minute

// A pool chooses a server for each attempt, for one attempt at a time.
type pool struct {
	urls    []string
	failed  []time.Time // when each of them failed; zero: never
	current int         // the one of the last attempt
	counted error       // its failure, nil if it has not failed yet
}

func newPool(urls []string) *pool { return &pool{urls: urls, failed: make([]time.Time, len(urls))} }

// next is the function of WithEndpoint. last is the same as in the call before if the attempt in
// between has been ended by the client.
func (p *pool) next(_ context.Context, _ int, last error) (Endpoint, error) {
	if last != nil && last != p.counted && !errors.Is(last, ErrReconnect) {
		p.failed[p.current] = time.Now()
	}
	p.counted = last
	p.current = p.choose(errors.As(last, new(*DialError)))
	return Endpoint{URL: p.urls[p.current]}, nil
}

// choose returns the first server that has not failed lately. If there is none, or if attempts are
// failing, it is the one whose failure is the longest ago: with long waits the first ones would have
// their place again before the last ones are tried.
func (p *pool) choose(failing bool) int {
	oldest := 0
	for i, at := range p.failed {
		if !failing && time.Since(at) >= returnAfter {
			return i
		}
		if at.Before(p.failed[oldest]) {
			oldest = i
		}
	}
	return oldest
}
