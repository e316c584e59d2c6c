package fleet_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

func TestOpenReportsEveryWrongOptionByName(t *testing.T) {
	const host, secret = "nats://h", "hunter2"
	at := fleet.WithNATS(host)
	for name, one := range map[string]struct {
		options []fleet.Option
		option  string
	}{
		"name":                 {[]fleet.Option{fleet.WithName("a.b")}, "fleet.WithName"},
		"no name":              {[]fleet.Option{fleet.WithName("")}, "fleet.WithName"},
		"long name":            {[]fleet.Option{fleet.WithName(strings.Repeat("x", 33))}, "fleet.WithName"},
		"replicas below zero":  {[]fleet.Option{at, fleet.WithReplicas(-1)}, "fleet.WithReplicas"},
		"no replicas":          {[]fleet.Option{at, fleet.WithReplicas(0)}, "fleet.WithReplicas"},
		"two replicas":         {[]fleet.Option{at, fleet.WithReplicas(2)}, "fleet.WithReplicas"},
		"seven replicas":       {[]fleet.Option{at, fleet.WithReplicas(7)}, "fleet.WithReplicas"},
		"replicas of one":      {[]fleet.Option{fleet.WithReplicas(3)}, "fleet.WithReplicas"},
		"dir of another":       {[]fleet.Option{at, fleet.WithDir("x")}, "fleet.WithDir"},
		"no dir":               {[]fleet.Option{fleet.WithDir("")}, "fleet.WithDir"},
		"listen of another":    {[]fleet.Option{at, fleet.WithListen("127.0.0.1:0", secret)}, "fleet.WithListen"},
		"little in":            {[]fleet.Option{fleet.WithMaxIn(1000)}, "fleet.WithMaxIn"},
		"less than no out":     {[]fleet.Option{fleet.WithMaxOut(-1)}, "fleet.WithMaxOut"},
		"no URL":               {[]fleet.Option{fleet.WithNATS("")}, "fleet.WithNATS"},
		"commas":               {[]fleet.Option{fleet.WithNATS(" , ")}, "fleet.WithNATS"},
		"URL":                  {[]fleet.Option{fleet.WithNATS("nats://me:hunter2@h:port")}, "fleet.WithNATS"},
		"second URL":           {[]fleet.Option{fleet.WithNATS("nats://h,nats://me:hunter2@[h")}, "fleet.WithNATS"},
		"not NATS":             {[]fleet.Option{fleet.WithNATS("https://me:hunter2@h")}, "fleet.WithNATS"},
		"lease":                {[]fleet.Option{fleet.WithLease(time.Second)}, "fleet.WithLease"},
		"no lease":             {[]fleet.Option{fleet.WithLease(0)}, "fleet.WithLease"},
		"partitions":           {[]fleet.Option{fleet.WithPartitions(257)}, "fleet.WithPartitions"},
		"no partitions":        {[]fleet.Option{fleet.WithPartitions(0)}, "fleet.WithPartitions"},
		"keep":                 {[]fleet.Option{fleet.WithKeepIn(time.Second)}, "fleet.WithKeepIn"},
		"keep of out":          {[]fleet.Option{fleet.WithKeepOut(time.Second)}, "fleet.WithKeepOut"},
		"codec":                {[]fleet.Option{fleet.WithCodec(nil)}, "fleet.WithCodec"},
		"logger":               {[]fleet.Option{fleet.WithLogger(nil)}, "fleet.WithLogger"},
		"nil":                  {[]fleet.Option{nil}, "fleet.Open"},
		"a mistake that comes": {[]fleet.Option{fleet.WithName("n"), fleet.WithName("a.b")}, "fleet.WithName"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		f, err := fleet.Open(ctx, one.options...)
		cancel()
		assert.Nil(t, f, name)
		var wrong *wechatws.OptionError
		if !assert.ErrorAs(t, err, &wrong, name) {
			continue
		}
		assert.Equal(t, one.option, wrong.Option, name)
		assert.NotEmpty(t, wrong.Want, name)
		assert.NotContains(t, err.Error(), secret, name)
	}
}

// All mistakes are in one error, but for those of options that a later one of the same name replaces.
func TestALaterOptionReplacesAnEarlierOne(t *testing.T) {
	_, err := fleet.Open(t.Context(), fleet.WithLease(-1), fleet.WithPartitions(0), fleet.WithMaxIn(1), fleet.WithLease(8*time.Second))
	require.EqualError(t, err, "wechatws: fleet.WithPartitions(0): must be 1 to 256\n"+
		"wechatws: fleet.WithMaxIn(1): must be 16 MiB (16777216) or more")

	f, err := fleet.Open(t.Context(), fleet.WithName("a.b"), fleet.WithListen("x", ""), fleet.WithListen("127.0.0.1:0", ""), fleet.WithName("later"))
	require.NoError(t, err)
	defer f.Close()
	assert.Equal(t, `fleet "later" at an embedded NATS`, f.String())
}

// The password of a NATS that cannot be reached is neither in errors nor in the log.
func TestPasswordsAreNotTold(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := fleet.Open(ctx, fleet.WithNATS("nats://me:hunter2@127.0.0.1:1, nats://hunter2@127.0.0.1:2"), fleet.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	require.ErrorContains(t, err, "NATS cannot be reached")
	assert.NotContains(t, err.Error(), "hunter2")
	assert.NotContains(t, log.String(), "hunter2")
}

// Who asks for a fleet that is there makes none.
func TestExisting(t *testing.T) {
	w := newWorld(t)
	server, err := fleet.Open(w.ctx(), fleet.WithListen("127.0.0.1:0", ""))
	require.NoError(t, err)
	defer server.Close()
	for range 2 {
		_, err = fleet.Open(w.ctx(), fleet.WithNATS(server.URL()), fleet.WithName("other"), fleet.WithExisting())
		require.ErrorIs(t, err, fleet.ErrNoFleet)
	}
	f, err := fleet.Open(w.ctx(), fleet.WithNATS(server.URL()), fleet.WithExisting())
	require.NoError(t, err)
	f.Close()
}
