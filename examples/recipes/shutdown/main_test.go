package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// In real time, which signals need: a synctest bubble cannot receive one.
func TestRecipe(t *testing.T) {
	var out recipetest.Buffer
	require.NoError(t, run(t.Context(), &out))
	recipetest.Documented(t, "shutdown", out.String())
}

// on runs a test of a client in virtual time; ready waits until it has heard the
// server.
func on(t *testing.T, test func(t *testing.T, s *site, c *wechatws.Client, ready func(context.Context) (*wstest.Conn, error))) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		defer s.Close()
		c, err := wechatws.New(s.URL(), s.demo()...)
		require.NoError(t, err)
		await := s.watch(c)
		test(t, s, c, func(ctx context.Context) (*wstest.Conn, error) {
			if err := await(ctx, false); err != nil {
				return nil, err
			}
			return s.NextConn(ctx)
		})
	})
}

func unsentTexts(unsent []wechatws.Outbound) (texts []string) {
	for _, m := range unsent {
		texts = append(texts, string(m.Data))
	}
	return texts
}

// The shutdown waits for a server that reads slowly, and everything arrives.
func TestTheLastMessagesAreDelivered(t *testing.T) {
	on(t, func(t *testing.T, s *site, c *wechatws.Client, ready func(context.Context) (*wstest.Conn, error)) {
		ctx, terminate := context.WithCancel(t.Context())
		last := make([]byte, 200<<10) // more than the buffers between them hold
		unsent, err := serve(ctx, c, func(ctx context.Context) error {
			conn, err := ready(ctx)
			if err != nil {
				return err
			}
			conn.ReadSlowly(100 << 10)
			terminate()
			<-ctx.Done()
			return c.Send(context.WithoutCancel(ctx), wechatws.Binary(last))
		})
		require.NoError(t, err)
		require.Zero(t, len(unsent))
		synctest.Wait()
		received := s.Conns()[0].Received()
		require.Len(t, received, 1)
		require.Len(t, received[0].Data, len(last))
		code, _ := s.Conns()[0].CloseCode()
		require.Equal(t, int(wechatws.StatusNormalClosure), code)
	})
}

// A server that has stopped reading does not keep the process longer than grace: what it
// did not read is handed back, in order.
func TestTheShutdownEnds(t *testing.T) {
	on(t, func(t *testing.T, s *site, c *wechatws.Client, ready func(context.Context) (*wstest.Conn, error)) {
		ctx, terminate := context.WithCancel(t.Context())
		var terminated time.Time
		unsent, err := serve(ctx, c, func(ctx context.Context) error {
			conn, err := ready(ctx)
			if err != nil {
				return err
			}
			conn.StopReading()
			last := context.WithoutCancel(ctx)
			if err := c.Send(last, wechatws.Binary(make([]byte, 2<<20))); err != nil {
				return err
			}
			for job := range 3 {
				if err := c.Send(last, result{"result", job}); err != nil {
					return err
				}
			}
			terminated = time.Now()
			terminate()
			return nil
		})
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(terminated), grace)
		texts := unsentTexts(unsent)
		require.GreaterOrEqual(t, len(texts), 3)
		for job, text := range texts[len(texts)-3:] {
			require.JSONEq(t, fmt.Sprintf(`{"msg_type":"result","job":%d}`, job), text)
		}
	})
}

func TestAPermanentErrorEndsTheWork(t *testing.T) {
	on(t, func(t *testing.T, s *site, c *wechatws.Client, _ func(context.Context) (*wstest.Conn, error)) {
		s.AnswerAlways(wstest.Status(http.StatusForbidden, nil, "no such account"))
		_, err := serve(t.Context(), c, func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		})
		var refused *wechatws.HandshakeError
		require.ErrorAs(t, err, &refused)
	})
}

func TestAnErrorOfTheWorkEndsTheConnection(t *testing.T) {
	on(t, func(t *testing.T, s *site, c *wechatws.Client, ready func(context.Context) (*wstest.Conn, error)) {
		failed := errors.New("the disk is full")
		_, err := serve(t.Context(), c, func(ctx context.Context) error {
			_, err := ready(ctx)
			return errors.Join(err, failed)
		})
		require.ErrorIs(t, err, failed)
		require.Equal(t, wechatws.StateClosed, c.State())
	})
}
