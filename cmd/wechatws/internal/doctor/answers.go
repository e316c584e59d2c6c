package doctor

import (
	"fmt"
	"slices"
	"time"
)

const answerWait = time.Second

var answerCheck = check{
	name: "answers", does: "send the messages of --send, and on another connection the first of them twice as soon as the login is answered",
	cost: func(t *Target) cost {
		if len(t.Send) == 0 {
			return cost{}
		}
		n := t.sessions(2, time.Duration(len(t.Send)+3)*answerWait)
		n.messages += len(t.Send) + 2
		n.bytes += 2 * len(t.Send[0])
		for _, m := range t.Send {
			n.bytes += len(m)
		}
		return n
	},
	run: (*examination).answers, open: true,
}

func (x *examination) answers() Finding {
	if len(x.Send) == 0 {
		return Finding{Verdict: Skipped, Summary: "no messages to send (--send)"}
	}
	early := x.atOnce(x.Send[0])
	l, err := x.openAndLogIn()
	if err != nil {
		return x.noConnection(err)
	}
	defer l.close()
	f := Finding{Verdict: OK, Summary: fmt.Sprintf("%s sent", count(len(x.Send), "message"))}
	l.collect(x)
	for i, m := range x.Send {
		if l.end != nil {
			break
		}
		l.send(m)
		got := l.collect(x)
		if i == 0 && x.differ(early, got) {
			f.Verdict = Note
			f.Evidence = append(f.Evidence, "right behind the login a message is answered differently: wait after it, in AfterConnect")
			f.Evidence = append(f.Evidence, x.describeEach(early)...)
		}
		f.Evidence = append(f.Evidence, fmt.Sprintf("message %d: %s", i+1, answered(got)))
		f.Evidence = append(f.Evidence, x.describeEach(got)...)
		f.Evidence = append(f.Evidence, changes(m, got)...)
	}
	if l.end != nil {
		f.Verdict = Note
		f.Evidence = append(f.Evidence, "the connection ended: "+ending(l.end.err))
	}
	return f
}

// atOnce returns what follows a message that is sent twice as soon as the login is answered.
func (x *examination) atOnce(m []byte) []event {
	l, err := x.openAndLogIn()
	if err != nil {
		return nil
	}
	defer l.close()
	if x.Login != nil {
		kind := typeOf(event{text: true, data: x.Login}, x.path)
		x.saw(l.watch(answerWait, func(e event) bool { return e.kind == message && typeOf(e, x.path) == kind }))
	}
	l.send(m)
	l.send(m)
	return l.collect(x)
}

// collect returns the messages of the next answerWait.
func (l *link) collect(x *examination) []event {
	events := l.watch(answerWait, nil)
	x.saw(events)
	return messages(events)
}

// differ reports whether what came first, for two messages, is not twice what came later for one.
func (x *examination) differ(early, later []event) bool {
	kinds := func(list []event, times int) (all []string) {
		for _, e := range list {
			all = append(all, slices.Repeat([]string{looks(e, x.path)}, times)...)
		}
		slices.Sort(all)
		return all
	}
	return !slices.Equal(kinds(early, 1), kinds(later, 2))
}

func answered(list []event) string {
	if len(list) == 0 {
		return fmt.Sprintf("no answer within %v, and it does not come back", answerWait)
	}
	return count(len(list), "message") + " came"
}

// changes says which strings of a message come back changed.
func changes(sent []byte, got []event) (lines []string) {
	v, ok := valueOf(event{text: true, data: sent})
	object, _ := v.(map[string]any)
	if !ok || object == nil {
		return nil
	}
	for _, e := range got {
		v, _ := valueOf(e)
		answer, _ := v.(map[string]any)
		for _, name := range sortedNames(object) {
			was, isString := object[name].(string)
			is, came := answer[name]
			if isString && came && is != was {
				lines = append(lines, fmt.Sprintf("%s: %q came back as %s", name, was, jsonText(is)))
			}
		}
	}
	return lines
}
