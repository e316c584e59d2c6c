package wechatws

import (
	"fmt"
	"time"
)

// A pulse is the heartbeat of a connection, checked and complete.
type pulse struct {
	Heartbeat               // without an Interval there is none
	message   *Outbound     // the encoded Message; nil: NewMessage makes it
	timeout   time.Duration // of the liveness; zero: none
}

// newPulse returns the pulse of h, which check has returned, or an error for option.
func (c *config) newPulse(option string, h Heartbeat) (*pulse, error) {
	p := &pulse{Heartbeat: h, timeout: c.liveness.Timeout}
	if h.Pong != nil && p.timeout > 0 && h.Interval > p.timeout/2 { // the answer takes its time, too
		p.timeout += h.Interval
	}
	if h.Interval == 0 || h.NewMessage != nil {
		return p, nil
	}
	if h.Message == nil && c.typeField == "" {
		return nil, wrong(option, "no message", "give it a Message or NewMessage with WithTypePath or WithTypeFunc")
	}
	if h.Message == nil {
		h.Message = map[string]string{c.typeField: "ping"}
	}
	err := users.Protect(func() error {
		m, err := encode(c.codec, h.Message)
		m.value = nil // each client would retain it
		p.message = &m
		return err
	})
	if err != nil {
		return nil, wrong(option, fmt.Sprintf("%T", h.Message), because(err))
	}
	return p, nil
}

// check returns the error of the fields for option, if any.
func (h Heartbeat) check(option string) error {
	switch {
	case h.Interval < 0:
		return wrong(option, h.Interval, "the interval must be longer than zero; WithoutHeartbeat switches it off")
	case h.First < 0:
		return wrong(option, fmt.Sprintf("first %v", h.First), "must not be negative")
	case lacksUnit(h.Interval):
		return wrong(option, fmt.Sprintf("interval %v", h.Interval), needsUnit)
	case lacksUnit(h.First):
		return wrong(option, fmt.Sprintf("first %v", h.First), needsUnit)
	case h.Message != nil && h.NewMessage != nil:
		return wrong(option, "Message and NewMessage", "give one of the two")
	}
	return nil
}
