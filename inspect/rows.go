package inspect

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

// A Row is a client that a page cannot look at itself, such as one of another process.
// Where and Name together tell it from all others of the same AddRows.
type Row struct {
	Name  string
	Where string // the process or the machine, for a column of its own
	// Stats are the newest that are known. Their times are by the clock of this
	// machine, or the countdown is off by as much as the clocks are.
	Stats wechatws.Stats
}

// AddRows shows rows that come from elsewhere, until remove is called, which may be
// called more than once: a page for all processes of a fleet has their clients in one
// table. Their errors and timelines are known from when somebody looks. They cannot be
// reconnected on this page.
//
// While somebody looks, rows is called every two seconds, and yields what is there
// then; a row that it yields no more is gone. It is not called twice at the same time.
// All viewers wait for it, so it must not: who gets rows over a network keeps the
// newest and yields those. It must not ask the page for anything over HTTP, and a panic
// in it is not caught. A row that comes twice in one call is shown once. AddRows panics
// when rows is nil.
func (p *Page) AddRows(rows iter.Seq[Row]) (remove func()) {
	if rows == nil {
		panic("inspect: AddRows with nil")
	}
	return p.elsewhere.add(rows)
}

// elsewhere are all that AddRows was called with.
type elsewhere struct {
	mu    sync.Mutex
	lists []*list // in the order in which they were added
	added int     // how many there ever were
}

func (e *elsewhere) add(rows iter.Seq[Row]) (remove func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.added++
	l := &list{number: e.added, rows: rows, known: map[place]*far{}}
	e.lists = append(e.lists, l)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.lists = slices.DeleteFunc(e.lists, func(one *list) bool { return one == l })
	}
}

// look shows every row. It is called by one goroutine at a time.
func (e *elsewhere) look(see func(*row)) {
	e.mu.Lock()
	lists := slices.Clone(e.lists) // rows may call AddRows, or remove
	e.mu.Unlock()
	for _, l := range lists {
		l.look(see)
	}
}

// A list is what one AddRows has brought.
type list struct {
	number int
	rows   iter.Seq[Row]
	known  map[place]*far
	named  int // how many rows there ever were
	looks  int
}

type place struct{ where, name string }

// A far client is one elsewhere, with what the page has seen of it.
type far struct {
	id     string
	looks  int       // the list's when it was seen last
	failed time.Time // its newest error
	history
}

func (l *list) look(see func(*row)) {
	l.looks++
	for one := range l.rows {
		at := place{one.Where, one.Name}
		f := l.known[at]
		if f == nil {
			l.named++
			f = &far{id: fmt.Sprintf("%d/%d", l.number, l.named)} // a client's own has no slash
			l.known[at] = f
		}
		if f.looks == l.looks {
			continue
		}
		f.looks = l.looks
		f.notice(&one.Stats)
		if err := one.Stats.LastError; err != nil && one.Stats.LastErrorAt.After(f.failed) {
			f.failed = one.Stats.LastErrorAt
			f.errors.add(f.failed, plain(err))
		}
		r := f.row(&one.Stats)
		r.id, r.name, r.where = f.id, one.Name, one.Where
		see(&r)
	}
	for at, f := range l.known {
		if f.looks != l.looks {
			delete(l.known, at)
		}
	}
}
