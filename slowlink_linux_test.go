package wechatws

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

// On a link with 64 kbit/s an upload takes longer than the liveness timeout, and its pongs wait
// behind it. It is written once, since it is on its way, and its connection stays.
func TestUploadsOnASlowLink(t *testing.T) {
	for name, tt := range map[string]struct {
		size int
		send func(ctx context.Context, c *Client, message Text) error
	}{
		"Send": {120_000, func(ctx context.Context, c *Client, message Text) error { return c.Send(ctx, message) }},
		"SendConfirmed": {200_000, func(ctx context.Context, c *Client, message Text) error {
			_, err := c.SendConfirmed(ctx, message, func(m Message) bool { return m.Type == "got" })
			return err
		}},
		"SendConfirmed with a short timeout": {120_000, func(ctx context.Context, c *Client, message Text) error {
			_, err := c.SendConfirmed(ctx, message, func(m Message) bool { return m.Type == "got" }, ConfirmTimeout(3*time.Second))
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			travel(t, func(t *testing.T, j *journey) {
				arrived := make(chan struct{}, 10)
				j.server.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
					if len(m.Data) == tt.size {
						_ = conn.Send(`{"msg_type":"got"}`)
						arrived <- struct{}{}
					}
				})
				j.connect()
				j.router.Slow("r1", "64kbit")
				require.NoError(t, tt.send(t.Context(), j.client, Text(strings.Repeat("x", tt.size))))
				<-arrived
				s := j.client.Stats()
				assert.EqualValues(t, 1, s.MessagesOut)
				assert.Equal(t, 1, s.Opens)
				assert.Empty(t, j.closes)
				assert.WithinDuration(t, time.Now(), s.TakenAt, 4*time.Second)
			})
		})
	}
}
