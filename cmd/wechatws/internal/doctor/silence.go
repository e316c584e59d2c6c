package doctor

import (
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

const (
	pulse    = 3 * time.Second // between two signs of life, as in the library
	maxWatch = 5               // connections that are watched at the same time
	longest  = 20 * time.Second
)

// An observation is a connection that was watched for the limit of silence.
type observation struct {
	what   string
	beat   *beat // nil: none is sent
	pings  bool
	link   *link
	lasted time.Duration
	events []event
}

var silenceCheck = check{
	name: "silence", does: fmt.Sprintf("watch connections at the same time: one that is silent, one with pings, and up to %d with heartbeats, every %v", maxWatch-2, pulse),
	cost: func(t *Target) cost {
		n := t.sessions(maxWatch, t.Silence)
		beats := (maxWatch - 2) * int(t.Silence/pulse)
		n.messages += beats
		n.bytes += beats * max(64, len(t.Heartbeat))
		return n
	},
	run: (*examination).silence, open: true,
}

func (x *examination) silence() Finding {
	observations := []*observation{{what: "silent"}}
	if x.pongs {
		observations = append(observations, &observation{what: fmt.Sprintf("with a ping every %v", pulse), pings: true})
	}
	for _, b := range x.watched() {
		observations = append(observations, &observation{what: fmt.Sprintf("with %s every %v", b.shown(), pulse), beat: b})
	}
	f := Finding{Verdict: OK}
	for _, v := range observations {
		l, err := x.openAndLogIn()
		if err != nil {
			f.Evidence = append(f.Evidence, v.what+": "+err.Error())
			continue
		}
		v.link = l
		x.observations = append(x.observations, v)
	}
	if observations[0].link == nil {
		f.Verdict, f.Summary = Unknown, "no connection for it"
		for _, v := range x.observations {
			v.link.close()
		}
		x.observations = nil
		return f
	}
	var wg sync.WaitGroup
	for _, v := range x.observations {
		wg.Go(func() { v.watch(x.Silence) })
	}
	wg.Wait()
	for _, v := range x.observations {
		x.saw(v.events)
		v.link.close()
	}
	x.guessPath()
	for _, v := range x.observations {
		f.Evidence = append(f.Evidence, v.evidence(x.path)...)
	}
	x.judge(&f)
	return f
}

// watched returns the heartbeats to watch: the one that is answered, or those that did no harm.
func (x *examination) watched() (list []*beat) {
	if x.beat != nil {
		list = append(list, x.beat)
		if d := x.defaultBeat(); d != nil && d != x.beat && d.refused == "" {
			list = append(list, d) // it does, if it counts, without an option
		}
		return list
	}
	for _, b := range x.beats {
		if b.refused == "" && len(list) < maxWatch-2 {
			list = append(list, b)
		}
	}
	return list
}

// watch sends signs of life until d is over or the connection has ended.
func (v *observation) watch(d time.Duration) {
	for until := time.Now().Add(d); v.link.end == nil && time.Now().Before(until); {
		switch {
		case v.pings:
			v.link.ping()
		case v.beat != nil:
			v.link.send(v.beat.data)
		}
		v.events = append(v.events, v.link.watch(min(pulse, time.Until(until)), nil)...)
	}
	v.lasted = v.link.lasted()
}

// stayed reports whether the server has not ended the connection.
func (v *observation) stayed() bool { return v.link.end == nil || v.link.end.err == errEnough }

// unasked is what signs of life of a server are called.
var unasked = regexp.MustCompile(`(?i)ping|heartbeat|keep.?alive|^\{\}$`)

func (v *observation) evidence(path []string) (lines []string) {
	line := fmt.Sprintf("%s: open for %v", v.what, v.lasted.Round(100*time.Millisecond))
	if v.link.end != nil {
		line = fmt.Sprintf("%s: ended after %v, %s", v.what, v.lasted.Round(100*time.Millisecond), ending(v.link.end.err))
	}
	lines = append(lines, line)
	if v.beat != nil || v.pings {
		return lines
	}
	var control []event
	for _, e := range v.events {
		if e.kind == ping {
			control = append(control, e)
		}
	}
	if len(control) > 0 {
		lines = append(lines, "the server sends protocol pings"+every(control)+"; the library answers them")
	}
	if list := v.heartbeats(path); len(list) > 0 {
		lines = append(lines, fmt.Sprintf("the server sends %s%s: if it expects an answer, see WithReply", describe(list[0], path), every(list)))
	}
	return lines
}

// heartbeats returns the server's own heartbeats, which look alike: at least two, or one that the connection has
// not survived.
func (v *observation) heartbeats(path []string) (list []event) {
	for _, e := range slices.Backward(v.events) { // the first messages may answer the login
		if e.kind == message && len(e.data) < 200 && unasked.Match(e.data) && (len(list) == 0 || looks(e, path) == looks(list[0], path)) {
			list = append(list, e)
		}
	}
	slices.Reverse(list)
	if len(list) == 1 && v.stayed() {
		return nil
	}
	return list
}

// every says how far events are apart.
func every(events []event) string {
	if len(events) < 2 {
		return ""
	}
	apart := events[len(events)-1].at.Sub(events[0].at) / time.Duration(len(events)-1)
	return fmt.Sprintf(", every %v", apart.Round(100*time.Millisecond))
}

// judge says which signs of life a connection needs.
func (x *examination) judge(f *Finding) {
	silent := x.observations[0]
	var pinged, beaten *observation // of the heartbeats the first that stayed
	ended := 0
	for _, v := range x.observations {
		switch {
		case v.pings:
			pinged = v
		case v.beat != nil && v.stayed() && beaten == nil:
			beaten = v
		}
		if !v.stayed() {
			ended++
		}
	}
	limit := silent.lasted.Round(100 * time.Millisecond)
	switch {
	case silent.stayed():
		f.Summary = fmt.Sprintf("a silent connection stays open for %v", x.Silence)
		if ended > 0 {
			f.Verdict, f.Summary = Note, f.Summary+", and one that sends something does not"
		}
		x.spare(f)
	case pinged != nil && pinged.stayed():
		f.Verdict = Note
		f.Summary = fmt.Sprintf("a silent connection ends after %v, and protocol pings count as life: the library's own, every %v, are enough", limit, pulse)
		x.spare(f)
	case beaten != nil:
		f.Verdict = Note
		f.Summary = fmt.Sprintf("a silent connection ends after %v, and only messages count as life: heartbeats are needed", limit)
		x.need(f, beaten.beat, limit)
	case ended == len(x.observations) && len(silent.heartbeats(x.path)) > 0:
		f.Verdict = Fail
		f.Summary = fmt.Sprintf("every connection ends after about %v, whatever is sent: the server's heartbeat wants an answer, or a login is missing", limit)
	case ended == len(x.observations) && len(x.observations) > 1:
		f.Verdict = Fail
		f.Summary = fmt.Sprintf("every connection ends after about %v, whatever is sent: is a login missing, or another heartbeat?", limit)
	default:
		f.Verdict = Fail
		f.Summary = fmt.Sprintf("a silent connection ends after %v, and no sign of life is known that counts", limit)
	}
}

// need sets the options for a server that ends connections without heartbeats.
func (x *examination) need(f *Finding, b *beat, limit time.Duration) {
	isDefault := x.isDefault(b) && limit >= 3*pulse
	pong := !x.pongs && x.recognizes(b)
	if b.interval = min(longest, limit/3).Truncate(time.Second); b.interval == 0 {
		b.interval = time.Second
	}
	if !isDefault || pong {
		f.Options = append(f.Options, x.option(b))
		f.Verdict = Needs
	} else {
		f.Summary += ", and the default one is enough"
	}
	if !x.pongs && !pong {
		f.Options, f.Verdict = append(f.Options, withoutLiveness()), Needs
	}
}

// spare sets the options for a server that needs no heartbeats, as far as was seen: one that it answers
// is sent all the same, as the server may have a longer limit.
func (x *examination) spare(f *Finding) {
	switch {
	case x.beat != nil && (!x.pongs || !x.isDefault(x.beat)):
		f.Options = append(f.Options, x.option(x.beat))
	case x.beat == nil && x.refuses(x.defaultBeat()):
		f.Options = append(f.Options, withoutHeartbeat())
	}
	if !x.pongs && !x.recognizes(x.beat) {
		f.Options = append(f.Options, withoutLiveness())
	}
	if len(f.Options) > 0 {
		f.Verdict = Needs
	}
}

// recognizes reports whether the answer to a heartbeat can be recognized; b may be nil.
func (x *examination) recognizes(b *beat) bool {
	if b == nil {
		return false
	}
	pong, _ := x.isPong(b)
	return pong != nil
}

// defaultBeat returns the heartbeat that the library sends with the type field that was found, as it
// was tried; nil: there is none, or it was not tried.
func (x *examination) defaultBeat() *beat {
	for _, b := range x.beats {
		if x.isDefault(b) {
			return b
		}
	}
	return nil
}

func (x *examination) isDefault(b *beat) bool {
	return len(x.path) == 1 && string(b.data) == fmt.Sprintf(`{%q:"ping"}`, x.path[0])
}

// refuses reports whether the server does not take the default heartbeat, or that is unknown.
func (x *examination) refuses(b *beat) bool {
	if len(x.path) != 1 {
		return false // WithTypePath has no default
	}
	for _, v := range x.observations {
		if b != nil && v.beat == b && !v.stayed() {
			return true
		}
	}
	return b == nil || b.refused != ""
}

func withoutHeartbeat() Option {
	return Option{Code: "wechatws.WithoutHeartbeat()", sets: "heartbeat", value: wechatws.WithoutHeartbeat()}
}
