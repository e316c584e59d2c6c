package wechatws_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// Retry-After is in seconds, a date, or invalid. It extends the wait of the schedule up to a
// bound, and RetryIn includes it.
func TestRetryAfterIsObeyed(t *testing.T) {
	const schedule, limit = 3 * time.Second, 10 * time.Minute
	tests := map[string]struct {
		status int
		value  func(now time.Time) string
		want   time.Duration
	}{
		"429 in seconds":      {429, text("30"), 30 * time.Second},
		"503 in seconds":      {503, text("30"), 30 * time.Second},
		"sooner":              {503, text("1"), schedule},
		"now":                 {503, text("0"), schedule},
		"a date":              {503, func(now time.Time) string { return now.Add(time.Minute).UTC().Format(http.TimeFormat) }, time.Minute},
		"an old kind of date": {503, func(now time.Time) string { return now.Add(time.Minute).UTC().Format(time.ANSIC) }, time.Minute},
		"a date gone by":      {503, func(now time.Time) string { return now.Add(-time.Hour).UTC().Format(http.TimeFormat) }, schedule},
		"absent":              {503, nil, schedule},
		"junk":                {503, text("soon"), schedule},
		"negative":            {503, text("-30"), schedule},
		"a fraction":          {503, text("1.5"), schedule},
		"a year":              {503, text("31536000"), limit},
		"beyond any number":   {429, text("99999999999999999999999"), limit},
		"of a 502":            {502, text("30"), schedule},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				h := http.Header{}
				if tt.value != nil {
					h.Set("Retry-After", tt.value(time.Now()))
				}
				w.srv.Answer(wstest.Status(tt.status, h, "busy\nvery busy"))
				c := w.client().connect()
				require.InDelta(t, tt.want, w.since(), float64(time.Second))
				var he *wechatws.HandshakeError
				require.ErrorAs(t, c.errors()[0], &he)
				require.Equal(t, tt.status, he.Status)
				require.Equal(t, "busy\nvery busy", string(he.Body))
				c.close()
			})
		})
	}
}

func text(s string) func(time.Time) string { return func(time.Time) string { return s } }

// A gateway without its server answers 502 until the server is back.
func TestABadGatewayIsRetried(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Status(502, nil, ""))
		time.AfterFunc(time.Hour, func() { w.srv.AnswerAlways(wstest.Accept()) })
		c := w.client().connect()
		require.Less(t, w.since(), time.Hour+450*time.Second+time.Second)
		c.close()
	})
}

// A worker that hangs: pings are answered, and nothing else arrives. That is no half-open
// connection.
func TestAPeerThatOnlyAnswersPings(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		w.sleep(24 * time.Hour)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Equal(t, 1, c.Stats().Opens)
		require.Empty(t, c.errors())
		c.close()
	})
}
