package inspect

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

// A Row is a client of another process, or one that the page cannot read itself for
// another reason. Where and Name together identify it among the rows of one
// [Page.AddRows].
type Row struct {
	Name  string
	Where string // the process or the machine; shown in a column of its own
	// Stats are the newest that are known. Their times must be by the clock of this
	// machine, or the countdown is wrong by the difference of the clocks.
	Stats wechatws.Stats
}

// AddRows shows rows that the program supplies, until remove is called; remove may be
// called more than once. With it one page can show the clients of all processes. The
// errors and timelines of rows are recorded while the page has viewers. The clients
// cannot be reconnected from this page.
//
// While the page has viewers, rows is called every two seconds, by one goroutine at a
// time, and yields the current rows; a row that it no longer yields disappears. It must
// not block, since all viewers wait for it: a program that receives rows over a network
// keeps the newest and yields those. It must not make requests to the page, and a panic
// in it is not recovered. A row that is yielded twice in one call is shown once. AddRows
// panics if rows is nil.
func (p *Page) AddRows(rows iter.Seq[Row]) (remove func()) {
	if rows == nil {
		panic("inspect: AddRows with nil")
	}
	return p.elsewhere.add(rows)
}

// elsewhere has the rows of all calls of AddRows.
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

// look calls see with every row. It is called by one goroutine at a time.
func (e *elsewhere) look(see func(*row)) {
	e.mu.Lock()
	lists := slices.Clone(e.lists) // rows may call AddRows, or remove
	e.mu.Unlock()
	for _, l := range lists {
		l.look(see)
	}
}

// A list has the rows of one AddRows.
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
