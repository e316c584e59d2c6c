package doctor

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"
)

// A cost is what a check takes at most.
type cost struct {
	conns    int
	time     time.Duration
	messages int
	bytes    int // of messages
}

// sessions returns what n connections that log in take, one after the other, and d beside.
func (t *Target) sessions(n int, d time.Duration) cost {
	c := cost{conns: n, time: time.Duration(n)*(t.Timeout+pause) + d}
	if t.Login != nil {
		c.messages, c.bytes = n, n*len(t.Login)
	}
	return c
}

// A Plan is what an examination does at most.
type Plan struct {
	Connections int           `json:"connections"`
	Time        time.Duration `json:"time_ns"`
	Messages    int           `json:"messages"` // sent; handshakes and control frames are extra
	Bytes       int           `json:"bytes"`    // of these messages
	Steps       []Step        `json:"steps"`
}

// A Step is what one check does.
type Step struct {
	Check       string        `json:"check"`
	Does        string        `json:"does"`
	Connections int           `json:"connections"`
	Time        time.Duration `json:"time_ns"`
	Messages    int           `json:"messages"`
	Bytes       int           `json:"bytes"`
}

// NewPlan returns what [Examine] does at most with this target. Its error is about the target.
func NewPlan(t Target) (Plan, error) {
	if _, err := t.check(); err != nil {
		return Plan{}, err
	}
	return planOf(&t), nil
}

func planOf(t *Target) (p Plan) {
	for _, c := range checks() {
		if slices.Contains(t.Without, c.name) || c.cost == nil {
			continue
		}
		n := c.cost(t)
		if n == (cost{}) {
			continue
		}
		p.Steps = append(p.Steps, Step{c.name, c.does, n.conns, n.time, n.messages, n.bytes})
		p.Connections += n.conns
		p.Time += n.time
		p.Messages += n.messages
		p.Bytes += n.bytes
	}
	return p
}

// Write writes the plan as text.
func (p Plan) Write(w io.Writer, t Target) error {
	u, err := url.Parse(t.URL)
	if err != nil {
		return err
	}
	out := printer{w: w}
	out.printf("doctor will make at most %s to %s in at most %v, and send at most %s (%s):\n\n",
		count(p.Connections, "connection"), printable(u.Scheme+"://"+u.Host), p.Time.Round(time.Second), count(p.Messages, "message"), size(p.Bytes))
	for _, s := range p.Steps {
		out.printf("%-13s %s", s.Check, s.Does)
		switch {
		case s.Messages > 0:
			out.printf(" (%s, %s)", count(s.Connections, "connection"), count(s.Messages, "message"))
		case s.Connections > 0:
			out.printf(" (%s)", count(s.Connections, "connection"))
		}
		out.printf("\n")
	}
	out.printf("\n")
	return out.err
}

// count returns a number of things for people.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// size returns a number of bytes for people.
func size(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
