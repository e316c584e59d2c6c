package fleet

import (
	"errors"
	"runtime/debug"

	"github.com/wechatws/wechatws"
)

// protect calls one of the user's functions, and returns a panic or a runtime.Goexit in it as a
// *wechatws.PanicError. The function runs on a goroutine of its own, since Goexit cannot be recovered.
func protect(fn func() error) error {
	var err error = &wechatws.PanicError{Value: errGoexit}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer recovered(&err)
		err = fn()
	}()
	<-done
	return err
}

// errGoexit is the value of a PanicError that stands for runtime.Goexit.
var errGoexit = errors.New("runtime.Goexit")

// recovered, deferred, returns a panic as a *wechatws.PanicError.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = &wechatws.PanicError{Value: p, Stack: debug.Stack()}
	}
}
