package wstest_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

// A server on a busy machine reads late, and in another order than the data arrived in.
func TestMessagesTellWhenTheyArrivedAndNotWhenTheyWereRead(t *testing.T) {
	for _, options := range [][]wstest.Option{nil, {wstest.WithTLS()}} {
		s := wstest.NewServer(options...)
		s.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
		early, slow := open(t, s)
		late, _ := open(t, s)
		slow.StopReading()
		write(t, early, "taken from the socket, and held")
		write(t, early, "left in the socket")
		for range 10 { // by then the others have crossed the loopback, too
			write(t, late, "there and back")
			assert.Equal(t, "there and back", read(t, late))
		}
		resumed := time.Now()
		slow.ResumeReading()
		for range 2 {
			m, err := slow.Receive(t.Context())
			require.NoError(t, err)
			if runtime.GOOS == "linux" {
				assert.Less(t, m.At, resumed)
			}
		}
		early.CloseNow()
		late.CloseNow()
		s.Close()
	}
}
