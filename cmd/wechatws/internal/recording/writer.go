package recording

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/jsonline"
)

// ErrFull is the problem of a recording that has reached its limit.
var ErrFull = errors.New("the recording is full; the session goes on without it")

// A Config describes what is recorded, and how.
type Config struct {
	URL       string            // without secrets
	Limit     int64             // in bytes
	Secrets   *strings.Replacer // of text that is recorded; nil records secrets
	Login     []byte            // the login message, if there is one
	Heartbeat []byte            // the application heartbeat, if there is one
	// Problem is called once, if the recording cannot go on: with [ErrFull], or an error of writing.
	Problem func(error)
}

// A Writer records a session. Its methods may be called from any goroutine.
type Writer struct {
	Config
	started time.Time

	mu    sync.Mutex
	out   io.Writer
	left  int64
	conns int
	over  bool
}

// NewWriter writes the header to out.
func NewWriter(out io.Writer, c Config) (*Writer, error) {
	w := &Writer{Config: c, started: time.Now(), out: out, left: c.Limit}
	h := Header{Recording: "wechatws", Version: Version, Started: w.started.UTC(), URL: c.URL, Secrets: c.Secrets == nil}
	return w, w.line(h)
}

// next returns the number of an attempt.
func (w *Writer) next() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns++
	return w.conns
}

// write records an event with the time since the start.
func (w *Writer) write(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	e.T = w.seconds()
	err := w.line(e)
	if errors.Is(err, ErrFull) {
		w.left = 1 << 10 // for the last line
		if last := w.line(Event{T: e.T, Conn: e.Conn, Event: Full}); last != nil {
			err = last
		}
	}
	if err != nil {
		w.over = true
		if w.Problem != nil {
			w.Problem(err)
		}
	}
}

func (w *Writer) seconds() float64 {
	return float64(time.Since(w.started).Microseconds()) / 1e6
}

// line writes a line, if there is room for it.
func (w *Writer) line(v any) error {
	var line bytes.Buffer
	if err := jsonline.Write(&line, v); err != nil {
		return err
	}
	if int64(line.Len()) > w.left {
		return ErrFull
	}
	w.left -= int64(line.Len())
	if _, err := w.out.Write(line.Bytes()); err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	return nil
}

// message records a message of which data is the beginning.
func (w *Writer) message(e Event, binary bool, data []byte, size int64) {
	switch {
	case e.Event == Sent && len(w.Login) > 0 && bytes.Equal(data, w.Login):
		e.Secret = true
		if w.Secrets != nil {
			e.Size = size
			w.write(e)
			return
		}
	case e.Event == Sent && len(w.Heartbeat) > 0 && bytes.Equal(data, w.Heartbeat):
		e.Heartbeat = true
	}
	if int64(len(data)) < size {
		e.Size = size
		if !binary {
			data = whole(data)
		}
	}
	if binary {
		e.Binary = []byte(w.redact(string(data)))
	} else {
		text := w.redact(string(data))
		e.Text = &text
	}
	w.write(e)
}

// whole returns text without the part of a character at its end.
func whole(text []byte) []byte {
	for range utf8.UTFMax - 1 {
		if r, size := utf8.DecodeLastRune(text); r != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text
}

func (w *Writer) redact(text string) string {
	if w.Secrets == nil {
		return text
	}
	return w.Secrets.Replace(text)
}
