package fleet

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/wechatws/wechatws/fleet/internal/names"
)

// Requests to a worker: <name>.ask.<worker>.<question>. Those to all workers have another subject.
const (
	askDrain = "drain"
	askStats = "stats"
	askRows  = "rows"
)

func (f *Fleet) askSubject(worker, question string) string {
	return f.name + ".ask." + names.Token(worker) + "." + question
}

// answer answers requests until stop is called.
func (t *tenure) answer() (stop func()) {
	sub, err := t.f.nc.Subscribe(t.f.askSubject(t.w.cfg.name, "*"), func(m *nats.Msg) {
		question := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
		if !asks(m, question) {
			return
		}
		switch question {
		case askDrain:
			_ = m.Respond([]byte("{}"))
			t.w.Drain()
		case askStats:
			if b, err := json.Marshal(t.w.Stats()); err == nil {
				_ = m.Respond(b)
			}
		}
	})
	if err != nil { // the worker works without
		t.f.log.Warn("requests to the worker are not answered", "worker", t.w.cfg.name, "err", err)
		return func() {}
	}
	rows, err := t.f.nc.Subscribe(t.f.rowsSubject(), func(m *nats.Msg) {
		if asks(m, askRows) {
			t.w.sendRows(m)
		}
	})
	if err != nil {
		t.f.log.Warn("requests for rows are not answered", "worker", t.w.cfg.name, "err", err)
	}
	return func() {
		_ = sub.Unsubscribe()
		if rows != nil {
			_ = rows.Unsubscribe()
		}
	}
}

func noSuch(err error) bool { return errors.Is(err, nats.ErrNoResponders) }
