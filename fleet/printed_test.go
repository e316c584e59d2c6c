package fleet_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// printedAll returns v in every way in which it may come into a log.
func printedAll(v any) string {
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "v", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "v", v)
	return fmt.Sprintf("%v %+v %#v %s %q\n", v, v, v, v, v) + log.String()
}

func TestAFleetIsPrintedWithoutItsSecrets(t *testing.T) {
	f, err := fleet.Open(t.Context(), fleet.Config{Listen: "127.0.0.1:0", Token: "s3cret"})
	require.NoError(t, err)
	t.Cleanup(f.Close)
	host := strings.TrimPrefix(f.URL(), "nats://")
	g, err := fleet.Open(t.Context(), fleet.Config{URL: "nats://s3cret@" + host})
	require.NoError(t, err)
	t.Cleanup(g.Close)
	at := fleet.Config{Name: "n", URL: "wss://user:s3cret@a:1/s3cret?t=s3cret, s3cret@b:2", Token: "s3cret"}
	for _, v := range []any{f, g, at, &at, fleet.Config{URL: "user:s3cret@host"}, fleet.Config{URL: "s3cret://%zz"}} {
		assert.NotContains(t, printedAll(v), "s3cret")
	}
	assert.NotContains(t, fmt.Sprintf("%+v", struct{ C fleet.Config }{at}), "s3cret")
	assert.Equal(t, `fleet "wechatws" at an embedded NATS`, fmt.Sprint(f))
	assert.Equal(t, `fleet "wechatws" at nats://`+host, fmt.Sprint(g))
	assert.Equal(t, `fleet.Config(fleet "n" at wss://a:1,nats://b:2)`, fmt.Sprintf("%#v", at))
	assert.Contains(t, printedAll(g), "v.name=wechatws v.nats=nats://"+host)
}
