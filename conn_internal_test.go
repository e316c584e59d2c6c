package wechatws

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

// withLink runs a test with an open client, and its link.
func withLink(t *testing.T, test func(c *Client, l *link)) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		s := wstest.NewServer(wstest.WithNetwork(n))
		defer s.Close()
		c, err := New(s.URL(), WithProxy(nil), WithNetDial(n.DialContext))
		require.NoError(t, err)
		require.NoError(t, c.Connect(t.Context()))
		synctest.Wait()
		test(c, c.link)
		require.NoError(t, c.CloseNow())
		<-c.Done()
	})
}

// The end of a link waits for its helpers, so that none may begin after that.
func TestNoHelperBeginsAfterTheEnd(t *testing.T) {
	withLink(t, func(c *Client, l *link) {
		require.NoError(t, c.CloseNow())
		require.False(t, l.enter())
	})
}

// What waits for the writer goes on when it ends, also if it began to wait after the last write.
func TestTheEndOfTheWriterWakes(t *testing.T) {
	ends := map[string]func(l *link){
		"writer": func(l *link) {
			l.writer.mu.Lock()
			defer l.writer.mu.Unlock()
			l.takeBatch(nil)
		},
		"sender": func(l *link) { l.writerEnded() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			withLink(t, func(_ *Client, l *link) {
				w := &l.writer
				w.mu.Lock()
				require.True(t, l.becomeWriter())
				w.mu.Unlock()
				ended := false
				go func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					_ = w.await(context.Background(), func() bool { return !w.writing.Load() })
					ended = true
				}()
				synctest.Wait()
				require.False(t, ended)
				end(l)
				l.helpers.Done()
				synctest.Wait()
				require.True(t, ended)
			})
		})
	}
}
