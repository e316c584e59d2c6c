package standin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wechatws/wechatws/wstest"
)

// A command is a fault or an action.
type command struct {
	name string
	args string // such as "[CODE [REASON]]"
	key  rune   // on a terminal; 0 is none
	help string
	room bool // only of a LiveRoom
	do   func(b *Backend, a args) error
}

// The limits of what a command may ask for.
const (
	maxAnswers = 1000
	maxWait    = 10 * time.Minute
)

// commands are all commands, in the order of the help.
var commands []command

func init() { // help refers to commands
	commands = []command{
		{name: "cut", key: 'c', help: "end all connections with a FIN, and no close frame", do: func(b *Backend, _ args) error { return b.cut(wstest.FIN) }},
		{name: "reset", key: 'r', help: "end all connections with an RST", do: func(b *Backend, _ args) error { return b.cut(wstest.RST) }},
		{name: "close", args: "[CODE [REASON]]", key: 'x', help: "end all connections with a close frame, 1001 by default", do: (*Backend).closeAll},
		{name: "stop", args: "[on|off]", key: 's', help: "refuse TCP connections, and end those that are open", do: (*Backend).stop},
		{name: "refuse", args: "[STATUS [TIMES [SECONDS]]]", key: 'n', help: "answer the next handshakes with an HTTP status, 503 by default, with a Retry-After if SECONDS is given", do: (*Backend).refuse},
		{name: "hang", args: "[TIMES]", key: 'h', help: "leave the next handshakes without an answer", do: (*Backend).hang},
		{name: "blackhole", args: "[on|off]", key: 'b', help: "lose all bytes in both directions", do: toggle(func(on *switches) *bool { return &on.blackhole }, (*wstest.Conn).Blackhole)},
		{name: "deaf", args: "[on|off]", key: 'd', help: "stop reading, so that the clients' writes block", do: toggle(func(on *switches) *bool { return &on.deaf }, deafen)},
		{name: "ignore-pings", args: "[on|off]", key: 'i', help: "leave protocol pings without an answer", do: toggle(func(on *switches) *bool { return &on.ignorePings }, (*wstest.Conn).IgnorePings)},
		{name: "send", args: "TEXT", help: "send a message to all connections", do: (*Backend).send},
		{name: "freeze", args: "[on|off]", key: 'f', room: true, help: "answer protocol pings and nothing else", do: (*Backend).freeze},
		{name: "reload", args: "[DURATION]", key: 'l', room: true, help: "restart the workers, 3s by default, while connections stay open", do: (*Backend).reload},
		{name: "rolling", args: "[GROUPS [PAUSE]]", key: 'o', room: true, help: "end the connections in groups, 4 and 1s by default", do: (*Backend).rolling},
		{name: "say", args: "ROOM NAME TEXT", room: true, help: "broadcast a comment", do: (*Backend).say},
		{name: "kick", args: "ROOM NAME", room: true, help: "end the connections of the members with this name", do: (*Backend).kick},
		{name: "throw-out", args: "ROOM NAME", room: true, help: "remove the members without notifying them", do: (*Backend).throwOut},
		{name: "mute", args: "ROOM NAME [on|off]", room: true, help: "refuse the comments of the members", do: (*Backend).mute},
	}
}

// Help returns a line for each command of the backend; room adds those of a live room.
func Help(room bool) (lines []string) {
	for _, c := range commands {
		if c.room && !room {
			continue
		}
		key := " "
		if c.key != 0 {
			key = string(c.key)
		}
		lines = append(lines, fmt.Sprintf("%s  %-34s %s", key, strings.TrimSpace(c.name+" "+c.args), c.help))
	}
	return lines
}

// Do runs a command, such as "close 4000 kicked". It does not wait for a command that takes a time.
func (b *Backend) Do(line string) error {
	_, err := b.run(line)
	return err
}

// run runs a command. It returns the hint of one that has had no effect, or "".
func (b *Backend) run(line string) (hint string, err error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == name })
	switch {
	case i < 0:
		return "", fmt.Errorf("unknown command %q; help lists the commands", cut(name, 50))
	case commands[i].room && b.room == nil:
		return "", fmt.Errorf("%s is for a live room only", name)
	}
	b.doing.Lock()
	defer b.doing.Unlock()
	c := commands[i]
	done := strings.TrimSpace(line)
	if err := c.do(b, args{strings.TrimSpace(rest), &done, &hint}); err != nil {
		return "", fmt.Errorf("%s: %w; usage: %s", c.name, err, strings.TrimSpace(c.name+" "+c.args))
	}
	b.log.Write(Line{Event: "command", Text: done})
	if hint != "" {
		b.log.Note("%s", hint)
	}
	return hint, nil
}

// Key runs the command of a key.
func (b *Backend) Key(key rune) error {
	for _, c := range commands {
		if c.key == key && (!c.room || b.room != nil) {
			return b.Do(c.name)
		}
	}
	return fmt.Errorf("no command has the key %q; ? lists them", key)
}

// args are the words after a command's name.
type args struct {
	rest string
	done *string // the command as it is shown
	hint *string // why the command has no effect
}

// word returns the next word, and a default if there is none.
func (a *args) word(without string) string {
	word, rest, _ := strings.Cut(a.rest, " ")
	if a.rest = strings.TrimSpace(rest); word == "" {
		return without
	}
	return word
}

// number returns the next word as a number within bounds.
func (a *args) number(what string, without, low, high int) (int, error) {
	word := a.word(strconv.Itoa(without))
	n, err := strconv.Atoi(word)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s %q must be a number from %d to %d", what, cut(word, 50), low, high)
	}
	return n, nil
}

// wait returns the next word as a duration.
func (a *args) wait(without time.Duration) (time.Duration, error) {
	word := a.word(without.String())
	d, err := time.ParseDuration(word)
	if err != nil || d < 0 || d > maxWait {
		return 0, fmt.Errorf("%q must be a duration from 0s to %v", cut(word, 50), maxWait)
	}
	return d, nil
}

// set sets a switch by the next word, and changes it if there is none.
func (a *args) set(on *bool) error {
	switch word := a.word(""); word {
	case "":
		if *on = !*on; *on {
			*a.done += " on"
		} else {
			*a.done += " off"
		}
	case "on":
		*on = true
	case "off":
		*on = false
	default:
		return fmt.Errorf("%q must be on or off", cut(word, 50))
	}
	return a.end()
}

func (a *args) end() error {
	if a.rest != "" {
		return fmt.Errorf("%q is too much", cut(a.rest, 50))
	}
	return nil
}

// member returns a room and a name.
func (a *args) member() (room, name string, err error) {
	if room, name = a.word(""), a.word(""); name == "" {
		return "", "", errors.New("a room and a name are needed")
	}
	return room, name, nil
}

// in runs a function that takes a time, until the backend closes.
func (b *Backend) in(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended.Err() == nil {
		b.faults.Go(fn)
	}
}

func (b *Backend) cut(how wstest.Cut) error {
	for _, c := range b.server.Conns() {
		c.Cut(how)
	}
	return nil
}

func (b *Backend) closeAll(a args) error {
	code, err := a.number("the close code", 1001, 1000, 4999)
	if err != nil {
		return err
	}
	if slices.Contains([]int{1004, 1005, 1006, 1015}, code) {
		return fmt.Errorf("the close code %d cannot be sent", code)
	}
	if len(a.rest) > 123 {
		return errors.New("the reason must have at most 123 bytes")
	}
	b.in(func() {
		var closing sync.WaitGroup // each waits for the client's close frame
		for _, c := range b.server.Conns() {
			closing.Go(func() { _ = c.Close(code, a.rest) })
		}
		closing.Wait()
	})
	return nil
}

func (b *Backend) stop(a args) error {
	stopped := b.stopped
	if err := a.set(&stopped); err != nil || stopped == b.stopped {
		return err
	}
	switch {
	case stopped && b.room != nil:
		b.room.Stop()
	case stopped:
		b.server.Stop(wstest.FIN)
	default:
		start := b.server.Start
		if b.room != nil {
			start = b.room.Start
		}
		if err := listening(start); err != nil {
			return err
		}
	}
	b.stopped = stopped
	return nil
}

func (b *Backend) refuse(a args) error {
	status, err := a.number("the status", http.StatusServiceUnavailable, 200, 599)
	if err != nil {
		return err
	}
	times, err := a.number("TIMES", 1, 1, maxAnswers)
	if err != nil {
		return err
	}
	header := http.Header{}
	if a.rest != "" {
		after, err := a.number("SECONDS", 0, 0, 86400)
		if err != nil {
			return err
		}
		header.Set("Retry-After", strconv.Itoa(after))
	}
	if err := a.end(); err != nil {
		return err
	}
	b.server.Answer(slices.Repeat([]wstest.Answer{wstest.Status(status, header, http.StatusText(status)+"\n")}, times)...)
	return nil
}

func (b *Backend) hang(a args) error {
	times, err := a.number("TIMES", 1, 1, maxAnswers)
	if err != nil {
		return err
	}
	if err := a.end(); err != nil {
		return err
	}
	b.server.Answer(slices.Repeat([]wstest.Answer{wstest.NoAnswer()}, times)...)
	return nil
}

// toggle returns a command that sets a switch, and all connections.
func toggle(which func(*switches) *bool, set func(*wstest.Conn, bool)) func(*Backend, args) error {
	return func(b *Backend, a args) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		on := which(&b.on)
		if err := a.set(on); err != nil {
			return err
		}
		for _, c := range b.server.Conns() {
			set(c, *on)
		}
		return nil
	}
}

func deafen(c *wstest.Conn, deaf bool) {
	if deaf {
		c.StopReading()
	} else {
		c.ResumeReading()
	}
}

func (b *Backend) send(a args) error {
	if a.rest == "" {
		return errors.New("a text is needed")
	}
	sent := make(chan struct{})
	b.in(func() {
		var sending sync.WaitGroup // each blocks while its client does not read
		for _, c := range b.server.Conns() {
			sending.Go(func() { _ = c.Send(a.rest) })
		}
		sending.Wait()
		close(sent)
	})
	select { // so that messages stay in order, unless a client does not read
	case <-sent:
	case <-time.After(time.Second):
	case <-b.ended.Done():
	}
	return nil
}
