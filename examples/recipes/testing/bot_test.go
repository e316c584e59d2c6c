package main

import (
	"context"
	"io"
	"log"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
	"github.com/wechatws/wechatws/wstest"
)

// A bubble fails a test that leaves a goroutine in it; goleak finds those outside.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a bot, its server and the network between them, in virtual time.
type stage struct {
	*testing.T
	network *wstest.Network
	server  *wstest.Server
	bot     *bot
	log     *recipetest.Buffer // a bytes.Buffer with a mutex
	over    chan error         // the result of the bot's run
}

func onStage(t *testing.T, test func(s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{T: t, network: wstest.NewNetwork(), log: &recipetest.Buffer{}, over: make(chan error, 1)}
		s.server = wstest.NewServer(wstest.WithNetwork(s.network))
		defer s.server.Close()

		var err error
		s.bot, err = newBot(s.server.URL(), "secret", log.New(s.log, "", 0),
			wechatws.WithNetDial(s.network.DialContext),
			wechatws.WithProxy(nil)) // not the one of the machine that runs the test
		require.NoError(t, err)

		ctx, stop := context.WithCancel(t.Context())
		go func() { s.over <- s.bot.run(ctx); close(s.over) }()
		defer func() { stop(); <-s.over }()
		test(s)
	})
}

// conn returns the bot's next connection. Every wait has a deadline: virtual time goes on
// for as long as heartbeats do.
func (s *stage) conn() *wstest.Conn {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Hour)
	defer cancel()
	conn, err := s.server.NextConn(ctx)
	require.NoError(s, err)
	return conn
}

// receive returns the bot's next message on a connection that is not a heartbeat.
func (s *stage) receive(conn *wstest.Conn) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	for {
		m, err := conn.Receive(ctx)
		require.NoError(s, err)
		if m.Text() != `{"msg_type":"ping"}` {
			return m.Text()
		}
	}
}

// ended is why the bot has given up.
func (s *stage) ended() error {
	s.Helper()
	select {
	case err := <-s.over:
		return err
	case <-time.After(time.Hour):
		s.Fatal("the bot goes on")
		return nil
	}
}

const (
	hello    = `{"msg_type":"login","token":"secret"}`
	question = `{"msg_type":"message","from_name":"Hong","content":"price of tea"}`
	reply    = `{"msg_type":"message","content":"@Hong tea: ¥10"}`
)

func TestLogsInAndAnswers(t *testing.T) {
	onStage(t, func(s *stage) {
		conn := s.conn()
		require.Equal(s, hello, s.receive(conn))
		require.NoError(s, conn.Send(question))
		require.Equal(s, reply, s.receive(conn))
	})
}

// A wrong token, before the bot has ever been in the room, is nothing to wait for.
func TestAWrongTokenEndsTheBot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
		defer server.Close()
		server.AnswerAlways(wstest.Status(401, nil, "who are you?"))
		b, err := newBot(server.URL(), "wrong", log.New(io.Discard, "", 0),
			wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var refused *wechatws.HandshakeError
		require.ErrorAs(t, b.run(ctx), &refused)
		require.Equal(t, 401, refused.Status)
		require.Len(t, server.Handshakes(), 1)
	})
}

func TestAnOutageOfAnHour(t *testing.T) {
	onStage(t, func(s *stage) {
		require.Equal(s, hello, s.receive(s.conn()))

		s.server.Stop(wstest.RST)
		time.Sleep(time.Minute)
		require.NoError(s, s.bot.announce(s.Context(), "cake is back"))
		time.Sleep(time.Hour)
		s.server.Start()
		back := time.Now()

		conn := s.conn()
		require.LessOrEqual(s, time.Since(back), 450*time.Second) // the last tier
		require.Equal(s, hello, s.receive(conn), "the login comes first again")
		require.Equal(s, `{"msg_type":"message","content":"cake is back"}`, s.receive(conn))
		require.NoError(s, conn.Send(question))
		require.Equal(s, reply, s.receive(conn))
	})
}

// All packets are lost: no FIN, no RST, no answer to a ping.
func TestAHalfOpenConnection(t *testing.T) {
	onStage(t, func(s *stage) {
		conn := s.conn()
		require.Equal(s, hello, s.receive(conn))

		time.Sleep(time.Hour) // of nothing but pings and pongs
		require.Equal(s, 1, s.server.OpenConns())
		conn.Blackhole(true)
		lost := time.Now()

		require.Equal(s, hello, s.receive(s.conn()))
		require.LessOrEqual(s, time.Since(lost), 13*time.Second) // 10 s of silence, 3 s until the next attempt
		require.Equal(s, 1, s.bot.client.Stats().Disconnects.HalfOpen)
	})
}

func TestKickedOut(t *testing.T) {
	onStage(t, func(s *stage) {
		conn := s.conn()
		require.Equal(s, hello, s.receive(conn))
		require.NoError(s, conn.Close(loggedInElsewhere, "logged in elsewhere"))

		var closed *wechatws.CloseError
		require.ErrorAs(s, s.ended(), &closed)
		require.Equal(s, "logged in elsewhere", closed.Reason)
		time.Sleep(time.Hour)
		require.Len(s, s.network.Dials(), 1, "it does not reconnect")
	})
}

// After any other close the bot reconnects.
func TestTheServerRestarts(t *testing.T) {
	onStage(t, func(s *stage) {
		require.NoError(s, s.conn().Close(int(wechatws.StatusServiceRestart), "deploying"))
		require.Equal(s, hello, s.receive(s.conn()))
	})
}

func TestBadMessages(t *testing.T) {
	onStage(t, func(s *stage) {
		conn := s.conn()
		require.Equal(s, hello, s.receive(conn))
		for _, bad := range []string{"", "no JSON", "[]", "null", `{"msg_type":7}`, `{"msg_type":"message","content":[7]}`, "\xff"} {
			require.NoError(s, conn.Send(bad))
		}
		require.NoError(s, conn.SendBinary([]byte{0}))
		require.NoError(s, conn.Send(`{"msg_type":"of next year"}`))

		require.NoError(s, conn.Send(question))
		require.Equal(s, reply, s.receive(conn), "the connection is the same, and so is the bot")
		require.Contains(s, s.log.String(), `cannot use message of type "message"`)
	})
}

// An answer that could not be given within a minute is not given at all.
func TestLateAnswersAreNotGiven(t *testing.T) {
	onStage(t, func(s *stage) {
		conn := s.conn()
		require.Equal(s, hello, s.receive(conn))

		conn.StopReading() // and the bot's writes block once the buffers are full
		require.NoError(s, s.bot.announce(s.Context(), strings.Repeat("x", 1<<20)))
		require.NoError(s, conn.Send(question))
		synctest.Wait() // until the answer waits behind the announcement
		s.server.Stop(wstest.RST)
		time.Sleep(2 * time.Minute)
		s.server.Start()

		conn = s.conn()
		require.Equal(s, hello, s.receive(conn))
		require.Contains(s, s.receive(conn), "xxx")
		require.NoError(s, s.bot.announce(s.Context(), "I am back"))
		require.Contains(s, s.receive(conn), "I am back")
		synctest.Wait() // until the callback for the error has returned
		require.Contains(s, s.log.String(), "message has expired")
	})
}

func TestClosesTheConnectionAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
		defer server.Close()
		b, err := newBot(server.URL(), "secret", log.New(io.Discard, "", 0),
			wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil))
		require.NoError(t, err)

		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		require.NoError(t, b.run(ctx))
		synctest.Wait()
		code, _ := server.Conns()[0].CloseCode()
		require.Equal(t, int(wechatws.StatusGoingAway), code)
		require.Zero(t, server.OpenConns())
	})
}
