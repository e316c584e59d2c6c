package doctor

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
)

// A Verdict is what a finding means for a program.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"      // nothing to do
	Needs   Verdict = "option"  // an option is needed
	Note    Verdict = "note"    // a program should know this
	Fail    Verdict = "fail"    // no connection, or none that lasts
	Unknown Verdict = "unknown" // what was seen does not decide it
	Skipped Verdict = "skipped" // not tried
)

// A Finding is what one check has found. Its texts are safe to print, and hold no secret that the
// target has.
type Finding struct {
	Check    string   `json:"check"`
	Verdict  Verdict  `json:"verdict"`
	Summary  string   `json:"summary"`
	Evidence []string `json:"evidence,omitempty"`
	Options  []Option `json:"options,omitempty"`
}

// A Report is the result of an examination.
type Report struct {
	Host        string        `json:"host"` // scheme and host of the URL
	Started     time.Time     `json:"started"`
	Took        time.Duration `json:"took_ns"`
	Connections int           `json:"connections"` // that were made
	Plan        Plan          `json:"plan"`
	Findings    []Finding     `json:"findings"`
	Code        string        `json:"code"` // a call of wechatws.New with its imports in a comment
}

// Failed reports whether a finding has the verdict Fail.
func (r *Report) Failed() bool {
	for _, f := range r.Findings {
		if f.Verdict == Fail {
			return true
		}
	}
	return false
}

// Finding returns the finding of a check, or a zero one.
func (r *Report) Finding(check string) Finding {
	for _, f := range r.Findings {
		if f.Check == check {
			return f
		}
	}
	return Finding{}
}

// Write writes a finding as text.
func (f Finding) Write(w io.Writer) error {
	out := printer{w: w}
	out.printf("%-13s %-8s %s\n", f.Check, f.Verdict, f.Summary)
	for _, e := range f.Evidence {
		out.printf("%22s  %s\n", "", e)
	}
	for _, o := range f.Options {
		out.printf("%22s  → %s\n", "", strings.Join(strings.Fields(o.Code), " "))
	}
	return out.err
}

// WriteEnd writes what follows the findings.
func (r *Report) WriteEnd(w io.Writer) error {
	out := printer{w: w}
	out.printf("\n%d connections in %v. The call that fits:\n\n%s", r.Connections, r.Took.Round(time.Second/10), r.Code)
	return out.err
}

// A printer keeps the first error of its writer.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// maxText is how long a text from outside may be, in bytes.
const maxText = 300

// printable returns text from outside, safe to print and cut.
func printable(s string) string {
	s = wechatws.Printable(s[:min(len(s), 2*maxText)])
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for end > 0 && s[end]&0xc0 == 0x80 {
		end--
	}
	return s[:end] + "…"
}
