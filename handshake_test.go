package wechatws_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

// dialers are the implementations of WebSocket; nil is the default one.
var dialers = map[string]transport.Dialer{"default": nil, "coder": coder.Dialer{}, "nhooyr": nhooyr.Dialer{}}

// over returns the options that choose a Dialer, in addition to others.
func over(d transport.Dialer, options ...wechatws.Option) []wechatws.Option {
	if d != nil {
		options = append(options, wechatws.WithDialer(d))
	}
	return append(options, quiet()...)
}

// A server whose answer to the offer of compression cannot be used gets no offer from then on.
func TestAWrongAnswerToTheOfferOfCompressionIsGivenUp(t *testing.T) {
	for name, d := range dialers {
		for _, answer := range []string{
			"permessage-deflate; client_max_window_bits=15", "permessage-deflate; unknown", "x-webkit-deflate-frame",
		} {
			t.Run(name+"/"+answer, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
						if r.Header.Get("Sec-WebSocket-Extensions") == "" {
							return wstest.Accept()
						}
						return wstest.Accept(wstest.WithHeader(http.Header{"Sec-Websocket-Extensions": {answer}}))
					})
					c := w.client(over(d, wechatws.WithCompression())...).connect()
					require.Equal(t, 3*time.Second, w.since(), "the second attempt")
					w.sleep(0)
					errs := c.errors()
					require.Len(t, errs, 2)
					var he *wechatws.HandshakeError
					require.ErrorAs(t, errs[0], &he)
					assert.Equal(t, http.StatusSwitchingProtocols, he.Status)
					require.ErrorIs(t, errs[0], wechatws.ErrCompression)
					assert.Equal(t, wechatws.ErrCompression, errs[1])
					c.close()
					c.connect() // it is remembered
					assert.Len(t, w.srv.Handshakes(), 3)
					c.close()
				})
			})
		}
	}
}

// Without an offer there is nothing to give up, and a 101 that is invalid for another reason says
// nothing about compression.
func TestOtherWrongAnswersAreNotAboutCompression(t *testing.T) {
	deflate := http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}}
	for name, tt := range map[string]struct {
		options []wechatws.Option
		answer  wstest.Answer
	}{
		"not offered":         {nil, wstest.Accept(wstest.WithHeader(deflate))},
		"for another reason":  {[]wechatws.Option{wechatws.WithCompression()}, badUpgrade()},
		"no upgrade":          {[]wechatws.Option{wechatws.WithCompression()}, wstest.Status(200, deflate, "")},
		"an unasked protocol": {[]wechatws.Option{wechatws.WithCompression()}, wstest.Accept(wstest.WithHeader(http.Header{"Sec-Websocket-Protocol": {"x"}}))},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(tt.answer)
				err := w.client(append(tt.options, wechatws.WithoutReconnect())...).Connect(t.Context())
				require.Error(t, err)
				assert.NotErrorIs(t, err, wechatws.ErrCompression)
			})
		})
	}
}
