package main

import "fmt"

// What wechatws may allocate for a message, in small runs too, which spread what a
// connection costs over fewer messages. Lower them when it allocates less.
var limits = []struct {
	workload, title, entry string
	metric                 metric
	most                   float64
}{
	{"W1", "typed dispatch", "wechatws", allocsPer, 11.4},
	{"W1", "typed dispatch", "wechatws+v2", allocsPer, 6},
	{"W1t", "typed dispatch, the tolerant types of package liveroom", "wechatws", allocsPer, 21.3},
	{"W1t", "typed dispatch, the tolerant types of package liveroom", "wechatws+v2", allocsPer, 16.4},
	{"W1r", "raw callback", "wechatws", allocsPer, 3.6},
	{"W2", "round trip", "wechatws", allocsPer, 10.5},
	{"W3", "outbound from 1 at a time", "wechatws", allocsPer, 2.3},
	{"W3", "outbound from 8 at a time", "wechatws", allocsPer, 2.3},
}

// overLimits says which limits a trial has passed.
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
