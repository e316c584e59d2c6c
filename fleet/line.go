package fleet

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws/fleet/internal/names"
)

// A line has the messages of one room that are not handled yet, in order. The first ones may be in memory;
// of the others only the first and the last sequence are known, and they are read again when it is their
// turn. So a room whose callbacks are slow, or fail, neither takes memory nor stops the reader.
type line struct {
	room    string
	list    []queued
	bytes   int
	from    uint64 // the first message that is not in memory; 0: all are
	to      uint64 // the last one
	failed  int    // attempts at the first message that have failed
	held    bool   // until the next attempt
	running bool   // a turn is running or waits for a goroutine
}

// Limits of one line's messages in memory.
const lineMessages, lineBytes = 256, 256 << 10

// first returns the sequence of the first message that is not handled.
func (l *line) first() uint64 {
	if len(l.list) > 0 {
		return l.list[0].at
	}
	return l.from
}

// A queued message is at a place of the stream, which is not its Seq if it was replayed.
type queued struct {
	Message
	at uint64
}

func (l *line) full() bool { return len(l.list) >= lineMessages || l.bytes >= lineBytes }

// A late is what a position has about a room whose messages before the position are not all handled.
type late struct {
	From   uint64 `json:"from"`             // the first one
	Failed int    `json:"failed,omitempty"` // attempts at it
}

// add appends a message that was read.
func (p *partition) add(m queued) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lines[m.Room]
	if l == nil {
		l = &line{room: m.Room}
		p.lines[m.Room] = l
	}
	p.last = m.at
	p.ahead = append(p.ahead, m.at)
	p.waiting++
	switch {
	case l.from > 0:
		l.to = m.at
	case l.full(), p.bytes >= p.memory:
		l.from, l.to = m.at, m.at
	default:
		p.keep(l, m)
	}
	p.start(l)
}

// keep appends a message in memory. p.mu must be held.
func (p *partition) keep(l *line, m queued) {
	l.list = append(l.list, m)
	l.bytes += m.size()
	p.bytes += m.size()
}

// drop removes the first n messages from memory. p.mu must be held.
func (p *partition) drop(l *line, n int) {
	for _, m := range l.list[:n] {
		l.bytes -= m.size()
		p.bytes -= m.size()
	}
	l.list = l.list[n:]
	if len(l.list) == 0 {
		l.list = nil
	}
}

// size is about the memory that a message takes.
func (m Message) size() int { return len(m.Data) + len(m.Room) + len(m.Type) + 200 }

// start gives a line a turn, unless it has one, or waits for its next attempt. p.mu must be held.
func (p *partition) start(l *line) {
	if l.running || l.held || p.closed {
		return
	}
	l.running = true
	p.turns.Add(1)
	workers := p.h.workers
	if p.careful > 0 {
		workers = p.alone
	}
	workers.run(func() { p.turn(l) })
}

// turnTime is the time after which lines that wait for a goroutine have precedence.
const turnTime = 10 * time.Millisecond

// turn handles messages of a line, until there are none, one must be tried again, or the time is over.
func (p *partition) turn(l *line) {
	defer p.turns.Done()
	began := time.Now()
	for {
		m, ok := p.next(l)
		if !ok {
			return
		}
		switch handled, err := p.handle(m); {
		case err != nil: // the partition ends
			p.mu.Lock()
			l.running = false
			p.mu.Unlock()
			return
		case !handled:
			p.hold(l, m.Attempt)
			return
		}
		p.mu.Lock()
		p.drop(l, 1)
		l.failed = 0
		p.finished++
		p.waiting = max(p.waiting-1, 0) // a room may have been behind when the partition was taken
		p.careful = max(p.careful-1, 0)
		over := time.Since(began) > turnTime
		if over {
			l.running = false
			p.start(l)
		}
		p.mu.Unlock()
		p.wakeReader()
		if over {
			return
		}
	}
}

// next returns the first message of a line. It removes a line that has none.
func (p *partition) next(l *line) (m queued, ok bool) {
	for {
		p.mu.Lock()
		ended := p.closed || p.guard() != nil
		if !ended && len(l.list) > 0 {
			m = l.list[0]
			m.Attempt = l.failed + 1
			p.mu.Unlock()
			return m, true
		}
		from, to := l.from, l.to
		if ended || from == 0 {
			l.running = false
			if !ended {
				delete(p.lines, l.room)
			}
			p.mu.Unlock()
			return m, false
		}
		p.mu.Unlock()
		if err := p.refill(l, from, to); err != nil && p.ctx.Err() == nil {
			p.h.f.log.Warn("messages of a room cannot be read again", "group", p.h.group, "room", l.room, "err", err)
			pause(p.ctx, 100*time.Millisecond)
		}
	}
}

// hold has a line wait for the next attempt at its first message. Meanwhile it has no messages in memory.
func (p *partition) hold(l *line, failed int) {
	delay := time.Minute
	if failed < 16 {
		delay = min(delay, min(delay, p.h.cfg.retryAfter)<<(failed-1))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.from == 0 {
		l.to = l.list[len(l.list)-1].at
	}
	l.from = l.first()
	p.drop(l, len(l.list))
	l.failed, l.held, l.running = failed, true, false
	time.AfterFunc(delay, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		l.held = false
		p.start(l)
	})
}

var errEnough = errors.New("no more messages fit")

// refill reads the first messages of a line that are not in memory.
func (p *partition) refill(l *line, from, to uint64) error {
	subject := p.h.f.inSubject(l.room, "*")
	pull, err := p.h.f.newPuller(p.ctx, subject, from)
	if err != nil {
		return err
	}
	defer pull.close()
	n := 0
	err = pull.fetch(p.ctx, pull0, func(m *nats.Msg, meta *nats.MsgMetadata) error {
		n++
		return p.again(l, m, meta.Sequence.Stream)
	})
	switch {
	case errors.Is(err, errEnough):
		return nil
	case err != nil && !errors.Is(err, errTooLarge):
		return err
	case n > 0:
		return nil
	}
	// The message is large, or the consumer's replica is behind, or the stream has discarded the
	// messages: the leader knows.
	s, err := p.h.f.nextMessage(p.ctx, p.h.f.name+"-in", subject, from)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.to == to {
			l.from, l.to = 0, 0
		} else {
			l.from = to + 1
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err = p.again(l, &nats.Msg{Subject: s.Subject, Header: s.Header, Data: s.Data}, s.Seq); errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// pull0 is a request for the messages that there are.
var pull0 = pull{Batch: lineMessages, MaxBytes: lineBytes, NoWait: true}

// again appends a message that was read again. It returns errEnough behind the last one, and when a line
// is full.
func (p *partition) again(l *line, raw *nats.Msg, seq uint64) error {
	m, ok := p.h.concerns(raw, seq)
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq <= l.to {
		l.from = seq + 1
		if ok {
			p.keep(l, queued{m, seq})
		}
	}
	if seq >= l.to {
		l.from, l.to = 0, 0
		return errEnough
	}
	if l.full() || p.bytes >= p.memory {
		return errEnough
	}
	return nil
}

// position returns the sequence up to which all messages are handled, but for those of some rooms. Rooms are
// listed only when others have run ahead of them, or if all is set.
func (p *partition) position(all bool) (done uint64, behind map[string]late) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := make([]*line, 0, len(p.lines))
	for _, l := range p.lines {
		if l.first() > 0 {
			lines = append(lines, l)
		}
	}
	slices.SortFunc(lines, func(a, b *line) int { return cmp.Compare(a.first(), b.first()) })
	listed := 0
	upTo := func() uint64 {
		if listed < len(lines) {
			return lines[listed].first() - 1
		}
		return p.last
	}
	for done = upTo(); listed < len(lines) && listed < mostLate && (all || p.aheadOf(done) > enough); done = upTo() {
		listed++
	}
	for _, l := range lines[:listed] {
		if l.first() <= done {
			if behind == nil {
				behind = map[string]late{}
			}
			behind[names.Token(l.room)] = late{l.first(), l.failed}
		}
	}
	return done, behind
}

// aheadOf returns how many messages behind a sequence have been read. p.mu must be held.
func (p *partition) aheadOf(done uint64) int {
	i, _ := slices.BinarySearch(p.ahead, done+1)
	return len(p.ahead) - i
}
