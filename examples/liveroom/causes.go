package main

import (
	"errors"
	"strings"
	"syscall"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

// kinds are the kinds of causes for which the page has words, each with the errors that it
// is for. The first that fits is taken.
var kinds = []struct {
	name string
	fits func(error) bool
}{
	{"reconnect", is(wechatws.ErrReconnect)},
	{"half-open", is(wechatws.ErrHalfOpen)},
	{"silent room", is(liveroom.ErrSilentRoom)},
	{"no join", as[*liveroom.JoinError]},
	{"protocol", is(wechatws.ErrProtocol)},
	{"refused", as[*wechatws.HandshakeError]},
	{"no server", is(syscall.ECONNREFUSED)},
	{"not reached", as[*wechatws.DialError]},
	{"closed", func(err error) bool {
		closed := (*wechatws.CloseError)(nil)
		return errors.As(err, &closed) && closed.Remote && closed.Code != wechatws.StatusAbnormalClosure
	}},
	{"lost", func(error) bool { return true }},
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func causeOf(err error) causeView {
	for _, kind := range kinds {
		if err != nil && kind.fits(err) {
			return causeView{Kind: kind.name, Text: strings.TrimPrefix(err.Error(), "wechatws: ")}
		}
	}
	return causeView{}
}
