package doctor

import (
	"fmt"
	"slices"
	"strings"
)

var timeCheck = check{name: "round-trips", run: (*examination).times, open: true}

func (x *examination) times() Finding {
	var parts []string
	if x.connect > 0 {
		parts = append(parts, fmt.Sprintf("TCP %v", round(x.connect)))
	}
	if x.shake != nil && !x.shake.answered.IsZero() {
		parts = append(parts, fmt.Sprintf("handshake %v", round(x.shake.answered.Sub(x.shake.requested))))
	}
	if n := len(x.pingTimes); n > 0 {
		parts = append(parts, fmt.Sprintf("pings %v to %v", round(slices.Min(x.pingTimes)), round(slices.Max(x.pingTimes))))
	}
	if x.beat != nil {
		parts = append(parts, fmt.Sprintf("heartbeat %v", round(x.beat.took)))
	}
	return Finding{Verdict: OK, Summary: strings.Join(parts, ", ")}
}
