package fleet_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// All settings that differ are in the error of Open, and nothing is created.
func TestOpenNamesAllSettingsThatDiffer(t *testing.T) {
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	_, err := fleet.Open(w.ctx(), fleet.WithNATS(w.fleet.URL()), fleet.WithReplicas(3), fleet.WithLease(9*time.Second), fleet.WithShards(5),
		fleet.WithPartitions(16), fleet.WithKeepIn(time.Hour), fleet.WithKeepOut(time.Hour), fleet.WithMaxIn(20<<20), fleet.WithMaxOut(20<<20))
	require.Error(t, err)
	var options []string
	for _, line := range strings.Split(err.Error(), "\n") {
		option, _, _ := strings.Cut(strings.TrimPrefix(line, "wechatws: fleet."), "(")
		options = append(options, option)
	}
	assert.ElementsMatch(t, []string{"WithReplicas", "WithLease", "WithShards", "WithKeepIn", "WithKeepOut", "WithMaxIn", "WithMaxOut"}, options, "%v", err)

	require.NoError(t, w.jetStream().DeleteStream(w.ctx(), "wechatws-out"))
	_, err = fleet.Open(w.ctx(), fleet.WithNATS(w.fleet.URL()), fleet.WithLease(9*time.Second), fleet.WithMaxOut(20<<20))
	require.ErrorContains(t, err, "fleet.WithLease(9s)")
	_, err = w.jetStream().Stream(w.ctx(), "wechatws-out")
	require.Error(t, err)
}

// A NATS that cannot be reached is named, with the reason, and without its password.
func TestOpenSaysWhereNATSIsAndWhyItCannotBeReached(t *testing.T) {
	plain := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	closed := plain.address()
	for name, one := range map[string]struct {
		urls    string
		options []nats.Option
		says    []string
	}{
		"refused":      {"nats://me:hunter2@" + closed, nil, []string{closed, "refused"}},
		"several":      {"nats://hunter2@" + closed + ", nats://nats.invalid", nil, []string{closed + ",nats://nats.invalid"}},
		"no such host": {"nats://me:hunter2@nats.invalid:4222", nil, []string{"nats.invalid:4222", "lookup nats.invalid"}},
		"no TLS":       {"tls://me:hunter2@" + plain.fleet.URL()[len("nats://"):], []nats.Option{nats.Secure(&tls.Config{})}, []string{"secure connection not available"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := fleet.Open(ctx, fleet.WithNATS(one.urls, one.options...))
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
		cancel()
		require.ErrorContains(t, err, "cannot be reached")
		for _, text := range one.says {
			assert.Contains(t, err.Error(), text, name)
		}
		assert.NotContains(t, err.Error(), "hunter2")
	}
}

// An embedded server that cannot start says which option is in the way, and why, and does not wait for it.
func TestOpenSaysWhyTheEmbeddedServerCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600))
	for _, one := range []struct {
		given         fleet.Option
		option, value string
		want          string
	}{
		{fleet.WithListen(taken.Addr().String(), ""), "fleet.WithListen", taken.Addr().String(), "address already in use"},
		{fleet.WithDir(file), "fleet.WithDir", file, "not a directory"},
		{fleet.WithDir(dir), "fleet.WithDir", dir, "not a directory"},
	} {
		began := time.Now()
		f, err := fleet.Open(t.Context(), one.given)
		if err == nil {
			f.Close()
		}
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, one.value)
		assert.Equal(t, one.option, wrong.Option)
		assert.Contains(t, wrong.Value, one.value)
		assert.Contains(t, wrong.Want, one.want)
		assert.Less(t, time.Since(began), 8*time.Second)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = fleet.Open(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// A value is quoted and cut in an error: it may have control characters.
func TestOptionsAreQuotedInErrors(t *testing.T) {
	w := newWorld(t)
	const value = "a.b *\r\n\x00"
	_, errHandlers := w.fleet.NewHandlers(value)
	for option, given := range map[string]fleet.Option{
		"WithName": fleet.WithName(value), "WithAPIPrefix": fleet.WithAPIPrefix(value), "WithListen": fleet.WithListen(value, ""), "": nil,
	} {
		err := errHandlers
		if given != nil {
			_, err = fleet.Open(t.Context(), given)
		}
		require.ErrorContains(t, err, option+`("a.b *\r\n\x00")`)
		assert.NotContains(t, err.Error(), "\r")
	}
	_, err := fleet.Open(t.Context(), fleet.WithName(strings.Repeat("x", 1000)))
	assert.Less(t, len(err.Error()), 300)
}

func TestEndpointsHavePortsThatThereAre(t *testing.T) {
	w := newWorld(t)
	for _, host := range []string{"a.com:0", "a.com:65536", "a.com:99999", "[::1]:0", "*.a.com:70000"} {
		_, err := w.fleet.NewWorker(quietly, fleet.WithEndpoints(host))
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, host)
		assert.Contains(t, wrong.Value, host)
		assert.Contains(t, wrong.Want, "1 to 65535")
	}
	_, err := w.fleet.NewWorker(quietly, fleet.WithEndpoints("a.com:1", "a.com:65535", "*.a.com", "[::1]:443"))
	require.NoError(t, err)
}
