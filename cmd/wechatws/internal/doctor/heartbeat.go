package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
)

const (
	maxBeats   = 5 // heartbeats that are tried
	beatRounds = 3 // how often each of them has to be answered: one answer may be a coincidence
	beatWait   = 1500 * time.Millisecond
)

// A beat is a heartbeat that was tried.
type beat struct {
	data     []byte
	own      bool // it is that of the command line
	answer   *event
	echo     bool // the answer is the heartbeat itself
	took     time.Duration
	refused  string        // how the server has complained; empty: it has not
	interval time.Duration // that the limit of silence asks for
}

var heartbeatCheck = check{
	name: "heartbeat", does: fmt.Sprintf("try usual heartbeats until one is answered, %d at most, each up to %d times; a connection that one ends is opened again", maxBeats, beatRounds),
	cost: func(t *Target) cost {
		n := t.sessions(maxBeats, maxBeats*(beatRounds+1)*beatWait)
		n.messages += beatRounds * maxBeats
		n.bytes += beatRounds * maxBeats * max(64, len(t.Heartbeat))
		return n
	},
	run: (*examination).heartbeats, open: true,
}

func (x *examination) heartbeats() Finding {
	var l *link
	defer func() {
		if l != nil {
			l.close()
		}
	}()
	f := Finding{Verdict: OK}
	for _, data := range x.candidates() {
		if l != nil && l.end != nil {
			l.close()
			l = nil
		}
		if l == nil {
			opened, err := x.openAndLogIn()
			if err != nil {
				f.Evidence = append(f.Evidence, err.Error())
				break
			}
			l = opened
			x.saw(l.watch(beatWait, nil))
			if l.end != nil {
				f.Evidence = append(f.Evidence, "the connection ended before a heartbeat was sent: "+ending(l.end.err))
				break
			}
		}
		b := x.try(l, data)
		x.beats = append(x.beats, b)
		if b.answered() {
			x.beat = b
			break
		}
	}
	x.guessPath()
	for _, b := range x.beats {
		f.Evidence = append(f.Evidence, b.evidence(x.path))
	}
	switch {
	case x.beat != nil && x.beat.echo:
		f.Summary = fmt.Sprintf("%s comes back after %v", x.beat.shown(), round(x.beat.took))
	case x.beat != nil:
		f.Summary = fmt.Sprintf("%s is answered after %v", x.beat.shown(), round(x.beat.took))
	case len(x.beats) == 0:
		f.Verdict, f.Summary = Unknown, "none was tried"
	case !x.pongs:
		f.Verdict, f.Summary = Note, "none of those tried is answered, and pings are not: --heartbeat tries another"
	default:
		f.Summary = "none of those tried is answered; pings are"
	}
	return f
}

// candidates returns the heartbeats to try, the likelier ones first.
func (x *examination) candidates() (list [][]byte) {
	if x.Heartbeat != nil {
		return [][]byte{x.Heartbeat}
	}
	add := func(text string) {
		if !slices.ContainsFunc(list, func(b []byte) bool { return string(b) == text }) && len(list) < maxBeats {
			list = append(list, []byte(text))
		}
	}
	add(`{"msg_type":"ping"}`)
	switch {
	case x.typed && len(x.path) == 1 && !isNumber(x.path[0]):
		name := x.path[0]
		types, _ := x.typeNames()
		all := strings.Join(types, "")
		switch {
		case isNumber(strings.ReplaceAll(all, `"`, "")):
			add(fmt.Sprintf(`{%q:1}`, name))
		case all == strings.ToUpper(all):
			add(fmt.Sprintf(`{%q:"PING"}`, name))
			add(fmt.Sprintf(`{%q:"HEARTBEAT"}`, name))
		default:
			add(fmt.Sprintf(`{%q:"ping"}`, name))
			add(fmt.Sprintf(`{%q:"heartbeat"}`, name))
		}
	default:
		for _, name := range []string{"type", "event", "op"} {
			add(fmt.Sprintf(`{%q:"ping"}`, name))
		}
	}
	if slices.ContainsFunc(x.seen, func(e event) bool { _, ok := valueOf(e); return e.text && !ok }) {
		add("ping") // not to a server of JSON only: some end at text that is not
	}
	return list
}

// try sends a heartbeat, and again if something followed that may be its answer.
func (x *examination) try(l *link, data []byte) *beat {
	b := &beat{data: data, own: x.Heartbeat != nil}
	known := map[string]bool{} // what has come unasked
	for _, e := range x.seen {
		known[looks(e, x.path)] = true
	}
	mayAnswer := func(e event) bool { return x.mayAnswer(e, data, known) }
	var first event
	for round := range beatRounds {
		began := time.Now()
		l.send(data)
		events := l.watch(beatWait, mayAnswer)
		if l.end != nil {
			x.saw(events)
			b.answer, b.refused = nil, ending(l.end.err)
			return b
		}
		e := events[max(0, len(events)-1):]
		if len(e) == 0 || !mayAnswer(e[0]) || round > 0 && looks(e[0], x.path) != looks(first, x.path) {
			x.saw(events)
			b.answer = nil
			return b
		}
		first, b.answer, b.took, b.echo = e[0], &e[0], e[0].at.Sub(began), bytes.Equal(e[0].data, data)
		if complains(e[0], x.path) && !b.echo {
			x.saw(events)
			b.refused = "refused by a message"
			return b
		}
	}
	x.saw([]event{first})
	return b
}

// answers is what answers to heartbeats are called.
var answers = regexp.MustCompile(`(?i)pong|ack|alive|heart`)

// mayAnswer reports whether a message may be the answer to a heartbeat: it is called so, or it is
// unlike all that came unasked.
func (x *examination) mayAnswer(e event, data []byte, known map[string]bool) bool {
	if e.kind != message {
		return false
	}
	if bytes.Equal(e.data, data) || !e.text && e.size < 16 {
		return true
	}
	kind := typeOf(e, x.path)
	if answers.MatchString(kind) || len(e.data) < 32 && answers.Match(e.data) || complains(e, x.path) {
		return true
	}
	return !known[looks(e, x.path)]
}

// looks is what messages of one kind have in common: the type, or the shape without one.
func looks(e event, path []string) string {
	if kind := typeOf(e, path); kind != "" {
		return kind
	}
	if v, ok := valueOf(e); ok {
		return shape(v, 1)
	}
	return fmt.Sprint(e.text, e.size)
}

// complaint is what messages that refuse something are called.
var complaint = regexp.MustCompile(`(?i)error|invalid|unknown|unsupported|not allowed|illegal|malformed|bad request|fail`)

// failure is the whole text of a field in such a message.
var failure = regexp.MustCompile(`(?i)^(error|fail|failed|failure)$`)

// complains reports whether a message says that something was wrong.
func complains(e event, path []string) bool {
	if kind := typeOf(e, path); kind != "" && complaint.MatchString(kind) {
		return true
	}
	v, ok := valueOf(e)
	if !ok {
		return e.text && len(e.data) < 200 && complaint.Match(e.data)
	}
	object, _ := v.(map[string]any)
	for name, inner := range object {
		if complaint.MatchString(name) && inner != nil && inner != false && inner != json.Number("0") {
			return true
		}
		if s, ok := inner.(string); ok && failure.MatchString(s) {
			return true
		}
	}
	return false
}

func (b *beat) answered() bool { return b.answer != nil && b.refused == "" }

// shown is the heartbeat for people.
func (b *beat) shown() string {
	if b.own {
		return "the heartbeat of --heartbeat"
	}
	return string(b.data)
}

func (b *beat) evidence(path []string) string {
	switch {
	case b.refused != "" && b.answer != nil:
		return b.shown() + ": refused, " + describe(*b.answer, path)
	case b.refused != "":
		return b.shown() + ": " + b.refused
	case b.echo:
		return b.shown() + ": comes back as it was sent"
	case b.answer != nil:
		return b.shown() + ": " + describe(*b.answer, path)
	}
	return b.shown() + ": no answer"
}

// isPong returns the function that recognizes the answer, and its code; nil: there is none. Text with
// secrets is not put into code.
func (x *examination) isPong(b *beat) (pong func(wechatws.Message) bool, code string) {
	if !b.answered() {
		return nil, ""
	}
	kind, text := typeOf(*b.answer, x.path), string(b.answer.data)
	switch {
	case kind != "" && len(kind) <= maxType && x.hide.Replace(kind) == kind:
		return func(m wechatws.Message) bool { return m.Type == kind }, fmt.Sprintf("m.Type == %q", kind)
	case b.own && b.echo:
		return func(m wechatws.Message) bool { return string(m.Data) == text }, `string(m.Data) == os.Getenv("WS_HEARTBEAT")`
	case len(text) <= maxType && x.hide.Replace(text) == text:
		return func(m wechatws.Message) bool { return string(m.Data) == text }, fmt.Sprintf("string(m.Data) == %q", text)
	}
	return nil, ""
}

// option returns WithHeartbeat for a heartbeat, with the answer as a sign of life if pings are none.
func (x *examination) option(b *beat) Option {
	h := wechatws.Heartbeat{Interval: b.interval, Message: wechatws.Text(b.data)}
	code := "wechatws.WithHeartbeat(wechatws.Heartbeat{\n"
	if b.interval > 0 {
		code += fmt.Sprintf("\tInterval: %d * time.Second,\n", b.interval/time.Second)
	}
	message := "`" + string(b.data) + "`"
	if strings.ContainsAny(string(b.data), "`\r\n") || !json.Valid(b.data) {
		message = strconv.Quote(string(b.data))
	}
	if b.own {
		message = `os.Getenv("WS_HEARTBEAT")`
	}
	code += "\tMessage: wechatws.Text(" + message + "),\n"
	if pong, text := x.isPong(b); pong != nil && !x.pongs {
		h.Pong = pong
		code += "\tPong: func(m wechatws.Message) bool { return " + text + " },\n"
	}
	o := Option{Code: code + "})", sets: "heartbeat", value: wechatws.WithHeartbeat(h)}
	if b.interval > 0 {
		o.imports = append(o.imports, "time")
	}
	if b.own {
		o.imports = append(o.imports, "os")
	}
	return o
}
