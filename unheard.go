package wechatws

import (
	"log/slog"
	"time"
)

// warnUnheard logs the first failure of a client that has never been open, if the program would
// learn of it in no other way: a mistyped URL must not look like a program that has nothing to do.
func (s *session) warnUnheard(err error, wait time.Duration) {
	c := s.client
	if s.warned || s.schedule.opened || c.cfg.logger != nil || c.cfg.trace != &untraced || len(c.onError.All()) > 0 {
		return
	}
	s.warned = true
	// The handler is the program's.
	if err := users.Apart(func() error {
		slog.Warn("wechatws: cannot connect, trying again", "delay", wait.String(), "err", err,
			"more", "this is logged once; for everything use WithLogger, or OnError")
		return nil
	}); err != nil {
		c.reportLater(s, err)
	}
}
