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
	Findings []Finding
	End      End
}

// Failed returns the checks with the verdict Fail.
func (r *Report) Failed() (names []string) {
	for _, f := range r.Findings {
		if f.Verdict == Fail {
			names = append(names, f.Check)
		}
	}
	return names
}

// An End is what follows the findings.
type End struct {
	Host        string        `json:"host"` // scheme and host of the URL
	Started     time.Time     `json:"started"`
	Took        time.Duration `json:"took_ns"`
	Connections int           `json:"connections"`      // that were made
	Broken      string        `json:"broken,omitempty"` // why the examination is not complete
	Code        string        `json:"code"`             // a call of wechatws.New; its imports are in a comment
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

// A Text writes findings as text.
type Text struct {
	out printer
	why string // the last check was skipped
}

// NewText returns a Text that writes to w.
func NewText(w io.Writer) *Text { return &Text{out: printer{w: w}} }

// Finding writes a finding.
func (t *Text) Finding(f Finding) error {
	summary := f.Summary
	if f.Verdict == Skipped && f.Summary == t.why {
		summary = "likewise"
	}
	t.why = f.Summary
	t.out.printf("%-13s %-7s  %s\n", f.Check, f.Verdict, summary)
	for _, e := range f.Evidence {
		t.out.printf("%23s  %s\n", "", e)
	}
	for _, o := range f.Options {
		t.out.printf("%23s→ %s\n", "", oneLine(o.Code))
	}
	return t.out.err
}

// oneLine returns formatted code on one line.
func oneLine(code string) string {
	return strings.NewReplacer("{ ", "{", ", }", "}").Replace(strings.Join(strings.Fields(code), " "))
}

// End writes what follows the findings.
func (t *Text) End(e End) error {
	t.out.printf("\n%s in %v. The call that fits:\n\n%s", count(e.Connections, "connection"), e.Took.Round(time.Second/10), e.Code)
	return t.out.err
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
const maxText = 400

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
