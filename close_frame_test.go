package wechatws_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/wstest"
)

// A slowValue is a value whose encoding takes some time.
type slowValue func()

func (v slowValue) MarshalJSON() ([]byte, error) {
	v()
	return json.Marshal("slow")
}

// One goroutine at a time writes to a connection. Whatever is being written when Close ends the
// drain, no message goes behind the close frame and counts as written: a peer that reads
// everything has received what was accepted and not handed back.
func TestNothingCountsAsWrittenBehindTheCloseFrame(t *testing.T) {
	const closes = 150
	takes := func(d time.Duration) slowValue { return func() { time.Sleep(d) } }
	users := wechatws.WithDialer(sealingDialer{coder.Dialer{}})
	for name, tt := range map[string]struct {
		virtual bool
		drain   time.Duration
		value   any // is sent besides short texts
		option  wechatws.Option
	}{
		"real, no drain":                 {},
		"real, the writer gathers":       {value: slowValue(runtime.Gosched)},
		"real, user's connection":        {option: users},
		"virtual, no drain":              {virtual: true},
		"virtual, the writer gathers":    {virtual: true, drain: time.Millisecond, value: takes(300 * time.Microsecond)},
		"virtual, it gathers for longer": {virtual: true, drain: time.Millisecond, value: takes(5 * time.Second)},
		"virtual, user's connection":     {virtual: true, drain: time.Millisecond, value: takes(300 * time.Microsecond), option: users},
	} {
		t.Run(name, func(t *testing.T) {
			options := append(quiet(), wechatws.WithDrainTimeout(tt.drain), wechatws.WithQueue(64, 1<<20, wechatws.QueueWait))
			if tt.option != nil {
				options = append(options, tt.option)
			}
			values := []any{wechatws.Text("0123456789"), tt.value}
			if tt.value == nil {
				values = values[:1]
			}
			for n := range closes {
				if tt.virtual {
					virtual(t, func(t *testing.T, w *world) {
						closeWhileSending(t, w.srv, w.client(options...).Client, values, 3*n)
					})
					continue
				}
				srv := wstest.NewServer()
				c, err := wechatws.New(srv.URL(), options...)
				require.NoError(t, err)
				closeWhileSending(t, srv, c, values, 3*n)
				srv.Close()
			}
		})
	}
}

// closeWhileSending closes a client after n messages of several goroutines, and compares what was
// accepted with what was handed back and received.
func closeWhileSending(t *testing.T, srv *wstest.Server, c *wechatws.Client, values []any, n int) {
	require.NoError(t, c.Connect(t.Context()))
	conn, err := srv.NextConn(t.Context())
	require.NoError(t, err)
	var accepted atomic.Int64
	var senders sync.WaitGroup
	now := make(chan struct{})
	for range 4 {
		senders.Go(func() {
			for i := 0; c.Send(t.Context(), values[i%len(values)], wechatws.EncodeOnWrite()) == nil; i++ {
				if accepted.Add(1) == int64(n)+1 {
					close(now)
				}
			}
		})
	}
	<-now
	err = c.Close(wechatws.StatusNormalClosure, "")
	senders.Wait()
	<-c.Done()
	<-conn.Done()
	var left *wechatws.UndeliveredError
	handedBack := 0
	if errors.As(err, &left) {
		handedBack = len(left.Messages)
	}
	require.Equal(t, int(accepted.Load()), handedBack+len(conn.Received()))
}
