package console

// maxHistory is the number of lines of input that are kept.
const maxHistory = 200

// A history keeps lines of input, and the unfinished one while the user looks at older ones.
type history struct {
	lines []string
	at    int // the line that is shown; len(lines) is the unfinished one
	draft string
}

func (h *history) add(line string) {
	if n := len(h.lines); line != "" && (n == 0 || h.lines[n-1] != line) {
		h.lines = append(h.lines, line)
		h.lines = h.lines[max(0, len(h.lines)-maxHistory):]
	}
	h.at, h.draft = len(h.lines), ""
}

// older returns the line before the one that is shown.
func (h *history) older(shown string) string {
	if h.at == 0 {
		return shown
	}
	if h.at == len(h.lines) {
		h.draft = shown
	}
	h.at--
	return h.lines[h.at]
}

// newer returns the line after the one that is shown.
func (h *history) newer(shown string) string {
	switch {
	case h.at == len(h.lines):
		return shown
	case h.at == len(h.lines)-1:
		h.at++
		return h.draft
	}
	h.at++
	return h.lines[h.at]
}
