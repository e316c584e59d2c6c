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
	f, err := fleet.Open(t.Context(), fleet.WithListen("127.0.0.1:0", "s3cret"))
	require.NoError(t, err)
	t.Cleanup(f.Close)
	host := strings.TrimPrefix(f.URL(), "nats://")
	g, err := fleet.Open(t.Context(), fleet.WithNATS("nats://s3cret@"+host))
	require.NoError(t, err)
	t.Cleanup(g.Close)
	for _, v := range []any{f, g} {
		assert.NotContains(t, printedAll(v), "s3cret")
	}
	_, err = fleet.Open(t.Context(), fleet.WithName("n"), fleet.WithLease(1), fleet.WithNATS("wss://user:s3cret@a:1/s3cret?t=s3cret, s3cret@b:2, s3cret://%zz"))
	require.ErrorContains(t, err, "WithNATS(not shown)")
	assert.NotContains(t, printedAll(err), "s3cret")
	assert.Equal(t, `fleet "wechatws" at an embedded NATS`, fmt.Sprint(f))
	assert.Equal(t, `fleet "wechatws" at nats://`+host, fmt.Sprint(g))
	assert.Contains(t, printedAll(g), "v.name=wechatws v.nats=nats://"+host)
}
