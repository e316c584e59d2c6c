package fleet

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/wechatws/wechatws/fleet/internal/names"
)

// What a worker is asked: <name>.ask.<worker>.<question>.
const (
	askDrain = "drain"
	askStats = "stats"
)

func (f *Fleet) askSubject(worker, question string) string {
	return f.name + ".ask." + names.Token(worker) + "." + question
}

// answer answers questions until stop is called.
func (t *tenure) answer() (stop func()) {
	sub, err := t.f.nc.Subscribe(t.f.askSubject(t.w.cfg.name, "*"), func(m *nats.Msg) {
		switch m.Subject[strings.LastIndexByte(m.Subject, '.')+1:] {
		case askDrain:
			_ = m.Respond([]byte("{}"))
			t.w.Drain()
		case askStats:
			if b, err := json.Marshal(t.w.Stats()); err == nil {
				_ = m.Respond(b)
			}
		}
	})
	if err != nil { // questions are not answered; the work goes on
		t.f.log.Warn("cannot be asked", "worker", t.w.cfg.name, "err", err)
		return func() {}
	}
	everybody, err := t.f.nc.Subscribe(t.f.everybodySubject(), t.w.sendRows)
	if err != nil {
		t.f.log.Warn("cannot be asked for rows", "worker", t.w.cfg.name, "err", err)
	}
	return func() {
		_ = sub.Unsubscribe()
		if everybody != nil {
			_ = everybody.Unsubscribe()
		}
	}
}

func noSuch(err error) bool { return errors.Is(err, nats.ErrNoResponders) }
