package wstest_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

func TestEventsAreReportedWithoutRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := make(chan wstest.Event, 10)
		s := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()), wstest.WithoutRecords(),
			wstest.WithEvents(func(e wstest.Event) { events <- e }))
		defer s.Close()
		client, conn := open(t, s)
		write(t, client, "hello")
		require.NoError(t, client.Close(websocket.StatusNormalClosure, "bye"))
		<-conn.Done()

		require.Equal(t, wstest.EventHandshake, (<-events).Kind)
		require.Equal(t, wstest.EventOpen, (<-events).Kind)
		message := <-events
		require.Equal(t, wstest.EventMessage, message.Kind)
		require.Equal(t, "hello", message.Message.Text())
		require.False(t, message.At.IsZero())
		closed := <-events
		require.Equal(t, []any{wstest.EventClosed, 1, 1000, "bye"}, []any{closed.Kind, closed.Conn, closed.Code, closed.Reason})
		require.Empty(t, s.Events())
	})
}

func TestReadLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()), wstest.WithReadLimit(10))
		defer s.Close()
		client, conn := open(t, s)
		write(t, client, strings.Repeat("x", 10))
		write(t, client, strings.Repeat("x", 11))
		_, _, err := client.Read(t.Context())
		require.Equal(t, websocket.StatusMessageTooBig, websocket.CloseStatus(err))
		<-conn.Done()
		require.Len(t, conn.Received(), 1)
	})
}
