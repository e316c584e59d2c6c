package standin

import (
	"bufio"
	"io"
	"strings"
)

// Lines runs the commands in lines of input. It reports whether one of them was quit, and otherwise
// returns at the end of the input.
func (b *Backend) Lines(in io.Reader) (quits bool) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxCommand)
	for lines.Scan() {
		switch line := strings.TrimSpace(lines.Text()); line {
		case "":
		case "quit":
			return true
		case "help":
			b.help()
		default:
			b.report(b.Do(line))
		}
	}
	b.report(lines.Err())
	return false
}

// Keys runs the commands of keys, as a raw terminal sends them. It reports whether one of them was q
// or Ctrl-C.
func (b *Backend) Keys(in io.Reader) (quits bool) {
	keys := bufio.NewReader(in)
	for {
		key, _, err := keys.ReadRune()
		switch {
		case err != nil:
			return false
		case key == 'q' || key == '\x03' || key == '\x04': // Ctrl-C and Ctrl-D
			return true
		case key == '?':
			b.help()
		case key == '\r' || key == '\n':
		default:
			b.report(b.Key(key))
		}
	}
}

func (b *Backend) help() {
	for _, line := range Help(b.room != nil) {
		b.log.Note("%s", line)
	}
}

func (b *Backend) report(err error) {
	if err != nil {
		b.log.Write(Line{Event: "error", Text: err.Error()})
	}
}
