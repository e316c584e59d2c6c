package wechatws_test

import (
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

// A message that the end of the connection cuts off is not delivered, wherever it is cut: with each
// transport, with and without compression.
func TestNoPartOfAMessageIsDelivered(t *testing.T) {
	letters := make([]byte, 700)
	for i := range letters {
		letters[i] = 'a' + byte(rand.IntN(26))
	}
	text := `{"msg_type":"message","content":"` + string(letters) + `"}`
	for name, dialer := range map[string]wechatws.Option{
		"own":    nil,
		"coder":  wechatws.WithDialer(coder.Dialer{}),
		"nhooyr": wechatws.WithDialer(nhooyr.Dialer{}),
	} {
		for _, compressed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, compressed %v", name, compressed), func(t *testing.T) {
				message := frame(fin|1, text)
				if compressed {
					message = frame(fin|0x40|1, compressedOnce(t, text))
				}
				virtual(t, func(t *testing.T, w *world) {
					w.srv.AnswerAlways(wstest.Accept(wstest.WithCompression()))
					options := append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Millisecond}), wechatws.WithStableAfter(time.Millisecond))
					if compressed {
						options = append(options, wechatws.WithCompression())
					}
					if dialer != nil {
						options = append(options, dialer)
					}
					c := w.client(options...).record().connect()
					for n := range message {
						conn := w.conn()
						w.sleep(time.Millisecond)
						require.NoError(t, conn.WriteRaw([]byte(message[:n])))
						conn.Cut(wstest.FIN)
						w.sleep(0)
						require.Empty(t, c.texts(), "cut after %d of %d bytes", n, len(message))
						require.Empty(t, c.errors(), "cut after %d of %d bytes", n, len(message))
					}
					require.NoError(t, w.conn().WriteRaw([]byte(message)))
					w.sleep(0)
					require.Equal(t, []string{text}, c.texts())
					c.close()
				})
			})
		}
	}
}

func compressedOnce(t *testing.T, text string) string {
	var b strings.Builder
	w, err := flate.NewWriter(&b, flate.BestCompression)
	require.NoError(t, err)
	_, err = w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}
