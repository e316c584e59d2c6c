package doctor

import (
	"fmt"
	"net/http"
	"time"
)

// skewed is the difference of clocks from which a report mentions it; a Date has whole seconds.
const skewed = 5 * time.Second

var clockCheck = check{name: "clock", run: (*examination).clock}

func (x *examination) clock() Finding {
	if x.shake == nil || x.shake.response == nil {
		return x.untried()
	}
	date, err := http.ParseTime(x.shake.response.Header.Get("Date"))
	if err != nil {
		return Finding{Verdict: Unknown, Summary: "the answer has no Date"}
	}
	// The Date was cut to a second, and made somewhere between request and answer.
	rtt := x.shake.answered.Sub(x.shake.requested)
	skew := date.Add(time.Second / 2).Sub(x.shake.requested.Add(rtt / 2)).Round(time.Second)
	within := (time.Second/2 + rtt/2).Round(100 * time.Millisecond)
	switch {
	case skew > skewed:
		return Finding{Verdict: Note, Summary: fmt.Sprintf("the server's clock is %v ahead of this machine's, ± %v: tokens and certificates with dates may fail", skew, within)}
	case skew < -skewed:
		return Finding{Verdict: Note, Summary: fmt.Sprintf("the server's clock is %v behind this machine's, ± %v: tokens and certificates with dates may fail", -skew, within)}
	}
	return Finding{Verdict: OK, Summary: fmt.Sprintf("the server's clock and this machine's differ by less than %v", skewed)}
}
