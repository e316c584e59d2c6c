package recording

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The limits of a recording that is read: bytes, lines and seconds.
const (
	maxRecording = 256 << 20
	maxLine      = 8 << 20
	maxLines     = 1 << 20
	maxSeconds   = 1e8
)

// A Recording is a session that was read.
type Recording struct {
	Header
	Attempts   [][]Event // by their number, each in the order of time
	Incomplete int       // messages of which only the beginning was recorded
	Cut        bool      // the last line is incomplete, as after a crash
}

// Read reads a recording. Its errors have the number of the line.
func Read(in io.Reader) (*Recording, error) {
	lines := bufio.NewReaderSize(io.LimitReader(in, maxRecording+1), 64<<10)
	r := &Recording{}
	byConn := map[int][]Event{}
	var size int64
	for n := 1; ; n++ {
		line, err := readLine(lines)
		size += int64(len(line))
		switch {
		case size > maxRecording:
			return nil, fmt.Errorf("it is larger than %d bytes", maxRecording)
		case err == io.EOF && len(line) == 0 && n > 1:
			r.Attempts = sorted(byConn)
			return r, nil
		case err != nil && err != io.EOF:
			return nil, fmt.Errorf("line %d: %w", n, err)
		case n > maxLines:
			return nil, fmt.Errorf("it has more than %d lines", maxLines)
		case n == 1:
			if err := r.header(line); err != nil {
				return nil, err
			}
			continue
		}
		e, parseErr := parse(line)
		if parseErr != nil && err == io.EOF {
			r.Cut = true
			continue // to the end
		}
		if parseErr != nil {
			return nil, fmt.Errorf("line %d: %w", n, parseErr)
		}
		if e.Event == Full {
			continue
		}
		if (e.Event == Received || e.Event == Sent) && e.Size > 0 && !e.Secret {
			r.Incomplete++
		}
		byConn[e.Conn] = append(byConn[e.Conn], e)
	}
}

// readLine returns a line, the last one with io.EOF if it has no newline.
func readLine(lines *bufio.Reader) (line []byte, err error) {
	for {
		part, err := lines.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxLine {
			return nil, fmt.Errorf("it has more than %d bytes", maxLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func (r *Recording) header(line []byte) error {
	if json.Unmarshal(line, &r.Header) != nil || r.Recording != "wechatws" {
		return errors.New("it is not a recording of wechatws connect --record")
	}
	if r.Version != Version {
		return fmt.Errorf("it has version %d of the format; this program reads version %d", r.Version, Version)
	}
	return nil
}

func parse(line []byte) (e Event, err error) {
	if err := json.Unmarshal(line, &e); err != nil {
		return e, err
	}
	if e.Conn < 1 || e.T < 0 || e.T > maxSeconds {
		return e, errors.New("conn must be above zero, and t from 0 to 1e8")
	}
	switch e.Event {
	case Open, Failed, Received, Sent, Full:
	case Refused:
		if e.Status < 100 || e.Status > 999 {
			return e, fmt.Errorf("status %d must have three digits", e.Status)
		}
	case Closed:
		if e.By != Server && e.By != Client {
			return e, fmt.Errorf("by %q must be server or client", e.By)
		}
		if e.Cut != "" && e.Cut != FIN && e.Cut != RST {
			return e, fmt.Errorf("cut %q must be FIN or RST", e.Cut)
		}
		unsent := []int{1004, 1006, 1015}
		if e.Code != 0 && (e.Code < 1000 || e.Code > 4999 || slices.Contains(unsent, e.Code)) {
			return e, fmt.Errorf("code %d is none that can be sent", e.Code)
		}
	default:
		return e, fmt.Errorf("unknown event %q", e.Event)
	}
	return e, nil
}

func sorted(byConn map[int][]Event) (attempts [][]Event) {
	var numbers []int
	for n := range byConn {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		attempts = append(attempts, byConn[n])
	}
	return attempts
}
