package console

import (
	"hash/fnv"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// maxEntries is the number of entries that are kept for scrolling back.
const maxEntries = 2000

// A transcript is the scrolling area: entries, wrapped to the width of the screen.
// The viewport of bubbles is not used: it measures all rows whenever one is added, which is
// too slow in a busy room.
type transcript struct {
	width, height int
	entries       []entry
	rows          []string // of all entries, as they are drawn
	counts        []int    // how many rows each entry has
	top           int      // the first row on the screen
	unseen        int      // entries that arrived while the user looked at older ones
}

func (t *transcript) bottom() int    { return max(len(t.rows)-t.height, 0) }
func (t *transcript) atBottom() bool { return t.top >= t.bottom() }

func (t *transcript) resize(width, height int) {
	follows := t.atBottom()
	t.height = height
	if width != t.width {
		first, above := 0, 0 // the entry at the top of the screen stays there
		for first < len(t.counts) && above+t.counts[first] <= t.top {
			above += t.counts[first]
			first++
		}
		t.width, t.rows, t.counts = width, nil, nil
		for i, e := range t.entries {
			if i == first {
				t.top = len(t.rows)
			}
			t.wrap(e)
		}
	}
	t.scrollTo(t.top, follows)
}

func (t *transcript) add(entries []entry) {
	follows := t.atBottom()
	for _, e := range entries {
		t.entries = append(t.entries, e)
		t.wrap(e)
	}
	t.unseen += len(entries)
	gone := 0
	if over := len(t.entries) - maxEntries; over > 0 {
		for _, n := range t.counts[:over] {
			gone += n
		}
		t.entries, t.counts, t.rows = t.entries[over:], t.counts[over:], t.rows[gone:]
	}
	t.scrollTo(t.top-gone, follows) // the rows on the screen stay
}

func (t *transcript) pageUp()   { t.scrollTo(t.top-t.height, false) }
func (t *transcript) pageDown() { t.scrollTo(t.top+t.height, false) }
func (t *transcript) end()      { t.scrollTo(0, true) }

func (t *transcript) scrollTo(top int, end bool) {
	if end {
		top = t.bottom()
	}
	t.top = min(max(top, 0), t.bottom())
	if t.atBottom() {
		t.unseen = 0
	}
}

// view returns the rows on the screen.
func (t *transcript) view() string {
	rows := t.rows[t.top:min(t.top+t.height, len(t.rows))]
	return strings.Join(rows, "\n") + strings.Repeat("\n", t.height-len(rows))
}

func (t *transcript) wrap(e entry) {
	rows := draw(e, t.width)
	t.rows = append(t.rows, rows...)
	t.counts = append(t.counts, len(rows))
}

var (
	dim     = lipgloss.NewStyle().Foreground(lipgloss.BrightBlack)
	red     = lipgloss.NewStyle().Foreground(lipgloss.Red)
	regular = lipgloss.NewStyle()
)

// The basic colors follow the user's theme, dark or light. Red is for errors.
var typeColors = map[string]lipgloss.Style{
	"message":   regular.Foreground(lipgloss.Cyan),
	"join":      regular.Foreground(lipgloss.Green),
	"leave":     regular.Foreground(lipgloss.BrightBlack),
	"buy":       regular.Foreground(lipgloss.Yellow),
	"subscribe": regular.Foreground(lipgloss.Magenta),
}

var otherColors = []lipgloss.Style{
	regular.Foreground(lipgloss.Blue),
	regular.Foreground(lipgloss.BrightBlue),
	regular.Foreground(lipgloss.BrightGreen),
	regular.Foreground(lipgloss.BrightMagenta),
	regular.Foreground(lipgloss.BrightCyan),
}

// color returns the color of a type; unknown types have fixed ones, too.
func color(msgType string) lipgloss.Style {
	if style, known := typeColors[msgType]; known {
		return style
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(msgType))
	return otherColors[h.Sum32()%uint32(len(otherColors))]
}

// look returns an entry's label, and the styles of its label and its text.
func look(e entry) (label string, labelStyle, textStyle lipgloss.Style) {
	switch e.kind {
	case received:
		return e.label, color(e.label), regular
	case sent:
		return e.label + " >", dim, dim
	case failure:
		return "error:", red.Bold(true), red
	}
	return "--", dim, dim
}

// draw makes the rows of an entry. Rows after the first one are indented.
func draw(e entry, width int) []string {
	const indent = "  "
	width = max(width, 12)
	clock := e.at.Format("15:04:05") + " "
	label, labelStyle, textStyle := look(e)
	label += " "
	if pad := 10 - ansi.StringWidth(label); pad > 0 && width >= 60 {
		label += strings.Repeat(" ", pad)
	}
	rows := wrap(clock+label+e.text, width, len(indent))
	for i, row := range rows {
		switch rest, fits := strings.CutPrefix(row, clock+label); {
		case i > 0:
			rows[i] = indent + textStyle.Render(row)
		case fits:
			rows[i] = dim.Render(clock) + labelStyle.Render(label) + textStyle.Render(rest)
		default: // the screen is narrower than the label
			rows[i] = labelStyle.Render(row)
		}
	}
	return rows
}

// wrap breaks a line into rows of at most width cells; the rows after the first are shorter by
// less. It breaks after a space or a wide character, where Chinese text may break, unless that
// leaves the row half empty: JSON has few spaces.
func wrap(s string, width, less int) (rows []string) {
	for {
		end, breakAt := fit(s, width)
		if end == len(s) {
			return append(rows, s)
		}
		if breakAt == 0 {
			breakAt = end
		}
		rows = append(rows, strings.TrimRight(s[:breakAt], " "))
		s = strings.TrimLeft(s[breakAt:], " ")
		if len(rows) == 1 {
			width -= less
		}
	}
}

// fit returns how many bytes of s fit into width cells, at least one character, and after how
// many it is best to break, or 0.
func fit(s string, width int) (end, breakAt int) {
	cells := 0
	for end < len(s) {
		cluster, w := ansi.FirstGraphemeCluster(s[end:], ansi.GraphemeWidth)
		w = max(w, ansi.StringWidthWc(cluster)) // terminals disagree on emoji
		if cells+w > width && end > 0 {
			return end, breakAt
		}
		cells += w
		end += len(cluster)
		if cells > width/2 && (cluster == " " || w > 1) {
			breakAt = end
		}
	}
	return end, breakAt
}
