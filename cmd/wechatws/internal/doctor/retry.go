package doctor

import (
	"fmt"
	"net/http"
)

var retryCheck = check{name: "retry-after", run: (*examination).retryAfter}

func (x *examination) retryAfter() Finding {
	if x.shake == nil || x.shake.response == nil {
		return x.untried()
	}
	status, after := x.shake.response.StatusCode, x.shake.response.Header.Get("Retry-After")
	refused := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
	switch {
	case after != "" && refused:
		return Finding{Verdict: Note, Summary: fmt.Sprintf("status %d with Retry-After %s: the library waits that long, at most 10 minutes", status, after)}
	case after != "":
		return Finding{Verdict: Note, Summary: fmt.Sprintf("Retry-After %s with status %d: the library follows it with 429 and 503 only", after, status)}
	case refused:
		return Finding{Verdict: Note, Summary: fmt.Sprintf("status %d without Retry-After: the schedule decides when the next attempt follows", status)}
	}
	return Finding{Verdict: OK, Summary: "none"}
}
