package inspect

import (
	"strconv"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
)

// The timeline of a client's states: ten minutes, in cells of five seconds.
const (
	stripCells = 120
	cellLength = 5 * time.Second
)

// A strip is the timeline of a client's states. A cell is the worst state of the client during
// its five seconds, so that a short outage is visible, and the size of the strip does not
// depend on the number of changes.
//
// It is written when the state changes, and not as time passes: after the newest cell the
// state has not changed.
type strip struct {
	cells  [stripCells]uint8 // a ring, by the cell's number modulo stripCells
	last   int64             // the newest cell's number, counted from 1970
	state  uint8
	cached string // what text returned, until something changes
}

// cellLetters are the letters of the states on the wire, by their number, and last the
// one that is not known because it was before Add.
const (
	cellLetters = "icownxf-"
	cellUnknown = uint8(len(cellLetters) - 1)
)

// cellRank orders the states from good to bad.
var cellRank = [...]uint8{
	cellUnknown:              0,
	wechatws.StateIdle:       1,
	wechatws.StateClosed:     2,
	wechatws.StateOpen:       3,
	wechatws.StateConnecting: 4,
	wechatws.StateWaiting:    5,
	wechatws.StateOffline:    6,
	wechatws.StateFailed:     7,
}

func cellOf(at time.Time) int64 { return at.UnixMilli() / cellLength.Milliseconds() }

func cellState(s wechatws.State) uint8 {
	if s < 0 || s >= wechatws.State(cellUnknown) {
		return cellUnknown
	}
	return uint8(s)
}

// begin begins the strip with a state that was entered at since.
func (s *strip) begin(since, now time.Time, state wechatws.State) {
	for i := range s.cells {
		s.cells[i] = cellUnknown
	}
	s.state = cellUnknown
	first := max(cellOf(since), cellOf(now)-stripCells+1)
	s.last = first - 1
	s.enter(first, state)
}

// move records a state that was entered at since.
func (s *strip) move(since time.Time, state wechatws.State) {
	if at := cellOf(since); at > s.last || cellState(state) != s.state {
		s.enter(at, state)
	}
}

func (s *strip) enter(cell int64, state wechatws.State) {
	s.fill(cell)
	s.state = cellState(state)
	s.worsen(cell, s.state)
}

// fill extends the current state up to a cell.
func (s *strip) fill(cell int64) {
	if cell <= s.last {
		return
	}
	for c := max(s.last+1, cell-stripCells+1); c <= cell; c++ {
		s.cells[c%stripCells] = s.state
	}
	s.last, s.cached = cell, ""
}

func (s *strip) worsen(cell int64, state uint8) {
	cell = max(cell, s.last-stripCells+1) // the clock may have been set back
	if c := &s.cells[cell%stripCells]; cellRank[state] > cellRank[*c] {
		*c, s.cached = state, ""
	}
}

// text returns the strip for the page: the newest cell's number, a colon, and the cells from the
// oldest one, each run of equal cells as a letter and a count: 348:-90o28w2.
func (s *strip) text() string {
	if s.cached != "" {
		return s.cached
	}
	var b strings.Builder
	b.WriteString(strconv.FormatInt(s.last, 10))
	b.WriteByte(':')
	for c := s.last - stripCells + 1; c <= s.last; {
		run, state := int64(1), s.cells[c%stripCells]
		for c+run <= s.last && s.cells[(c+run)%stripCells] == state {
			run++
		}
		b.WriteByte(cellLetters[state])
		b.WriteString(strconv.FormatInt(run, 10))
		c += run
	}
	s.cached = b.String()
	return s.cached
}
