package wechatws_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// refusals are the ways in which a server refuses a client, until ctx ends.
var refusals = map[string]func(ctx context.Context, w *world){
	"403": refuseWith(http.StatusForbidden),
	"410": refuseWith(http.StatusGone),
	"1008": func(ctx context.Context, w *world) {
		for {
			conn, err := w.srv.NextConn(ctx)
			if err != nil {
				return
			}
			assert.NoError(w, conn.Close(1008, "already connected"))
		}
	},
}

func refuseWith(status int) func(ctx context.Context, w *world) {
	return func(ctx context.Context, w *world) {
		w.srv.AnswerAlways(wstest.Status(status, nil, ""))
		<-ctx.Done()
		w.srv.AnswerAlways(wstest.Accept())
	}
}

// refused cuts the connection and has the server refuse the ones that follow, for as
// long as d.
func (w *world) refused(refuse func(context.Context, *world), conn *wstest.Conn, d time.Duration) {
	ctx, cancel := context.WithTimeout(w.Context(), d)
	defer cancel()
	conn.Cut(wstest.FIN)
	refuse(ctx, w)
}

// A gateway that is deployed, or a server that believes in the connection that has been
// lost, refuses for minutes.
func TestARefusalThatPassesDoesNotEndAClient(t *testing.T) {
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...).connect()
				conn := w.conn()
				w.sleep(365 * 24 * time.Hour)
				w.refused(refuse, conn, 14*time.Minute)
				conn = w.conn()
				assert.GreaterOrEqual(t, c.Stats().Attempts, 50)
				w.sleep(5 * time.Second) // it is stable, and the next refusal the first one
				w.refused(refuse, conn, 14*time.Minute)
				w.conn()
				w.sleep(0)
				assert.Equal(t, wechatws.StateOpen, c.State())
				c.close()
			})
		})
	}
}

// When nothing but the same refusal has come for a quarter of an hour, the next one
// ends the client. With the default schedule that is after 21 minutes.
func TestARefusalThatLastsEndsAClient(t *testing.T) {
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...).connect()
				over := w.since()
				go w.refused(refuse, w.conn(), 2*time.Hour)
				for c.State() != wechatws.StateFailed && w.since() < time.Hour {
					w.sleep(time.Second)
				}
				took := w.since() - over
				assert.Equal(t, wechatws.StateFailed, c.State())
				assert.GreaterOrEqual(t, took, 15*time.Minute)
				assert.Less(t, took, 15*time.Minute+450*time.Second)
				assert.ErrorContains(t, c.lastChange().Err, name)
				w.sleep(2 * time.Hour)
			})
		})
	}
}

// WithPermanentAfter sets the time; the refusal must come three times all the same.
func TestPermanentAfter(t *testing.T) {
	for _, tt := range []struct{ after, every, want time.Duration }{
		{0, 3 * time.Second, 9 * time.Second},
		{time.Minute, 3 * time.Second, 63 * time.Second},
		{time.Minute, time.Hour, 3 * time.Hour},
	} {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(append(quiet(), wechatws.WithPermanentAfter(tt.after),
				wechatws.WithTiers(wechatws.Tier{Delay: tt.every}))...).connect()
			w.srv.AnswerAlways(wstest.Status(403, nil, ""))
			w.conn().Cut(wstest.FIN)
			w.sleep(tt.want - time.Second)
			assert.NotEqual(t, wechatws.StateFailed, c.State(), tt)
			w.sleep(time.Second)
			assert.Equal(t, wechatws.StateFailed, c.State(), tt)
		})
	}
}

// Before the first open Connect's caller waits for the verdict: time does not count.
func TestARefusalBeforeTheFirstOpenIsToldAtOnce(t *testing.T) {
	t.Run("403", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			w.srv.AnswerAlways(wstest.Status(403, nil, ""))
			require.ErrorContains(t, w.client().Connect(t.Context()), "403")
			assert.Zero(t, w.since())
		})
	})
	t.Run("1008 while opening", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(quiet()...)
			c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
				_, err := o.Receive(ctx)
				return err
			})
			ctx, cancel := context.WithCancel(t.Context())
			go refusals["1008"](ctx, w)
			require.ErrorContains(t, c.Connect(t.Context()), "1008")
			assert.Equal(t, 6*time.Second, w.since(), "the third one")
			cancel()
		})
	})
}
