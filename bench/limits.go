package main

import "fmt"

// limits are the allocations that wechatws may make for a message. They hold in small runs
// too, in which the cost of a connection is spread over fewer messages. Lower them when it
// allocates less.
var limits = []struct {
	workload, title, entry string
	metric                 metric
	most                   float64
}{
	{"W1", "typed dispatch", "wechatws", allocsPer, 1.7},
	{"W1", "typed dispatch", "wechatws+v2", allocsPer, 1.8},
	{"W1t", "typed dispatch, the tolerant types of package liveroom", "wechatws", allocsPer, 12.4},
	{"W1t", "typed dispatch, the tolerant types of package liveroom", "wechatws+v2", allocsPer, 12.4},
	{"W1r", "raw callback", "wechatws", allocsPer, 1.2},
	{"W1r", "raw callback", "wechatws-nocopy", allocsPer, 0.2},
	{"W2", "round trip", "wechatws", allocsPer, 6},
	{"W2", "round trip", "wechatws-request", allocsPer, 8},
	{"W3", "outbound from 1 at a time", "wechatws", allocsPer, 2.2},
	{"W3", "outbound from 8 at a time", "wechatws", allocsPer, 2.2},
}

// overLimits returns the limits that a trial exceeds.
func (t trial) overLimits(all map[string]results) (over []string) {
	if raced {
		return nil
	}
	for _, l := range limits {
		if l.workload != t.workload || l.title != t.title || len(all[l.entry]) == 0 {
			continue
		}
		if got := all[l.entry].median(l.metric); got > l.most {
			over = append(over, fmt.Sprintf("%s %s, %s: %.2f %s, allowed are %v", t.workload, t.title, l.entry, got, l.metric, l.most))
		}
	}
	return over
}
