package backend

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for a line. It is what a busy machine may need, and no
// test waits that long when all is well.
const patience = 30 * time.Second

// Lines is what a program prints. A test waits for its lines in order: a line that
// [Lines.Expect] has passed is not found again.
type Lines struct {
	t       testing.TB
	mu      sync.Mutex
	rest    []byte   // the beginning of a line
	lines   []string // all
	next    int      // the first that Expect has not passed
	changed chan struct{}
	ended   chan struct{} // closed at the end of the program
}

// newLines makes the lines of a program, which a failed test prints.
func newLines(t testing.TB, name string) *Lines {
	l := &Lines{t: t, changed: make(chan struct{}), ended: make(chan struct{})}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s has printed:\n%s", name, strings.Join(l.All(), "\n"))
		}
	})
	return l
}

// Write adds what the program prints.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			break
		}
		l.lines, l.rest = append(l.lines, string(line)), rest
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return len(p), nil
}

// Expect waits for the next line that contains text, passes it and all before it, and
// returns it. The test fails after 30 s, and at the end of the program.
func (l *Lines) Expect(text string) string {
	l.t.Helper()
	timeout := time.After(patience)
	for over := false; ; {
		l.mu.Lock()
		changed, ended := l.changed, l.ended
		for i, line := range l.lines[l.next:] {
			if strings.Contains(line, text) {
				l.next += i + 1
				l.mu.Unlock()
				return line
			}
		}
		l.mu.Unlock()
		if over {
			l.t.Fatalf("no line contains %q", text)
		}
		select {
		case <-changed:
		case <-ended:
			over = true // all lines are there: look once more
		case <-timeout:
			over = true
		}
	}
}

// All returns all lines so far.
func (l *Lines) All() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// Count returns how many of the lines so far contain text.
func (l *Lines) Count(text string) (n int) {
	for _, line := range l.All() {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
