package console

import (
	"bufio"
	"context"
	"fmt"
	"io"
)

// maxLine is the longest line of input.
const maxLine = 4 << 20

// plainEnds are the reasons to end the plain mode, besides /quit and its context.
type plainEnds struct {
	timed bool          // the context has a deadline, and only that ends it
	demo  chan struct{} // closed at the end of the demo; nil without one
}

// runPlain prints every entry and reads lines of input until something
// ends it, then closes the client.
func runPlain(ctx context.Context, s *session, in io.Reader, out io.Writer, print printer, ends plainEnds) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.do(action{verb: connect})

	eof := make(chan struct{})
	go func() { // not waited for: it may block in a Read for ever
		if readLines(ctx, s, in) {
			cancel()
		}
		close(eof)
	}()

	err := printUntilEnd(ctx, s, out, print, eof, ends)
	cancel()
	s.shutdown()
	if printErr := print(out, s.feed.take()); err == nil {
		err = printErr
	}
	return err
}

// readLines runs the lines of input, one after the other. quits reports whether one of them was
// /quit.
func readLines(ctx context.Context, s *session, in io.Reader) (quits bool) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for ctx.Err() == nil && lines.Scan() && ctx.Err() == nil {
		a, err := parse(lines.Text())
		switch {
		case err != nil:
			s.fail(err)
		case a.verb == quit:
			return true
		default:
			s.do(a)
		}
	}
	if err := lines.Err(); err != nil {
		s.fail(fmt.Errorf("reading the input: %w", err))
	}
	return false
}

func printUntilEnd(ctx context.Context, s *session, out io.Writer, print printer, eof <-chan struct{}, ends plainEnds) error {
	demo := ends.demo
	atEOF := false
	for {
		if err := print(out, s.feed.take()); err != nil {
			return err
		}
		switch {
		case !atEOF: // a command may come
		case !s.running(): // closed or failed, and no /connect can follow
			return s.err()
		case ends.demo != nil && demo == nil && !ends.timed:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.feed.ready:
		case <-eof:
			atEOF, eof = true, nil
		case <-demo:
			demo = nil
		}
	}
}

// A printer writes entries, each as a line.
type printer func(out io.Writer, entries []entry) error

var prefixes = map[kind]string{note: "-- ", failure: "error: "}

func printEntries(out io.Writer, entries []entry) error {
	for _, e := range entries {
		label := prefixes[e.kind]
		if e.label != "" {
			label = e.label + " "
		}
		if _, err := fmt.Fprintf(out, "%s %s%s\n", e.at.Format("15:04:05.000"), label, e.text); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return nil
}
