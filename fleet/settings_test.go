package fleet_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// The settings of a fleet are in a bucket, into which a client of NATS can write anything.
func TestOpenRefusesSettingsOutOfRange(t *testing.T) {
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	rooms, err := w.jetStream().KeyValue(w.ctx(), "wechatws-rooms")
	require.NoError(t, err)
	good, err := rooms.Get(w.ctx(), "fleet")
	require.NoError(t, err)
	for _, one := range []struct {
		settings string
		told     []string // setting, value, what would be right
	}{
		{`{"type":"io.nats.jetstream.api.v1.account_info_response"}`, []string{"Lease", "0s", "2 s or longer"}},
		{`{"lease":1000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":86400000000000}`, []string{"Lease", "1s", "2 s or longer"}},
		{`{"lease":2900000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":86400000000000}`, []string{"Lease", "2.9s", "whole seconds"}},
		{`{"lease":301000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":86400000000000}`, []string{"Lease", "5m1s", "5 minutes or shorter"}},
		{`{"lease":9223372036000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":86400000000000}`, []string{"Lease", "2562047h", "5 minutes or shorter"}},
		{`{"lease":-8000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":86400000000000}`, []string{"Lease", "-8s", "2 s or longer"}},
		{`{"lease":8000000000,"leased_by":0,"shards":4096,"partitions":16,"keep_in":86400000000000}`, []string{"Replicas", "0", "1, 3 or 5"}},
		{`{"lease":8000000000,"leased_by":9,"shards":4096,"partitions":16,"keep_in":86400000000000}`, []string{"Replicas", "9", "1, 3 or 5"}},
		{`{"lease":8000000000,"leased_by":1,"shards":0,"partitions":16,"keep_in":86400000000000}`, []string{"Shards", "0", "1 to 65536"}},
		{`{"lease":8000000000,"leased_by":1,"shards":65537,"partitions":16,"keep_in":86400000000000}`, []string{"Shards", "65537", "1 to 65536"}},
		{`{"lease":8000000000,"leased_by":1,"shards":4096,"partitions":0,"keep_in":86400000000000}`, []string{"Partitions", "0", "1 to 256"}},
		{`{"lease":8000000000,"leased_by":1,"shards":4096,"partitions":1000000000,"keep_in":86400000000000}`, []string{"Partitions", "1000000000", "1 to 256"}},
		{`{"lease":8000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":-1}`, []string{"KeepIn", "-1ns", "a minute or longer"}},
		{`{"lease":8000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":9223372036854775807}`, []string{"KeepIn", "2562047h", "10 years (87600 h) or shorter"}},
		{`{"lease":8000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":86400000000000,"max_in":-1}`, []string{"MaxIn", "-1", "not be negative"}},
		{`{"lease":8000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":86400000000000,"keep_out":1}`, []string{"KeepOut", "1ns", "a minute or longer"}},
		{`{"lease":8000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":86400000000000,"max_out":-1}`, []string{"MaxOut", "-1", "not be negative"}},
		{`{"lease":"8s"}`, []string{"cannot be read"}},
		{`no JSON`, []string{"cannot be read"}},
	} {
		_, err := rooms.Put(w.ctx(), "fleet", []byte(one.settings))
		require.NoError(t, err)
		f, err := fleet.Open(w.ctx(), fleet.WithNATS(w.fleet.URL()))
		if !assert.Error(t, err, one.settings) {
			f.Close()
			continue
		}
		assert.Nil(t, f)
		assert.NotContains(t, err.Error(), "not ready", "it is not tried again")
		for _, part := range append(one.told, "wechatws-rooms") {
			assert.ErrorContains(t, err, part)
		}
	}
	_, err = rooms.Put(w.ctx(), "fleet", good.Value())
	require.NoError(t, err)
	f, err := fleet.Open(w.ctx(), fleet.WithNATS(w.fleet.URL()))
	require.NoError(t, err)
	f.Close()
}

// An embedded server that other machines can reach needs a token, and refuses connections without it.
func TestListeningBeyondLoopbackNeedsAToken(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:4222", "host.example:4222"} {
		f, err := fleet.Open(t.Context(), fleet.WithListen(listen, ""))
		if err == nil {
			f.Close()
		}
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, listen)
		assert.Equal(t, "fleet.WithListen", wrong.Option)
		assert.Equal(t, strconv.Quote(listen), wrong.Value)
		assert.Contains(t, wrong.Want, "token")
	}
	for _, listen := range []string{"127.0.0.1:0", "127.7.7.7:0", "localhost:0"} {
		f, err := fleet.Open(t.Context(), fleet.WithListen(listen, ""))
		require.NoError(t, err, listen)
		f.Close()
	}

	const token = "s3cret"
	_, err := fleet.Open(t.Context(), fleet.WithListen("0.0.0.0:0", token))
	var wrong *wechatws.OptionError
	require.ErrorAs(t, err, &wrong, "the token could be read on the way")
	assert.Contains(t, wrong.Want, "WithListenTLS")
	assert.NotContains(t, err.Error(), token)

	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", token))
	url := w.fleet.URL()
	assert.NotContains(t, url, token)
	_, err = nats.Connect(url)
	require.ErrorIs(t, err, nats.ErrAuthorization)
	_, err = nats.Connect(url, nats.Token("another"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	_, err = fleet.Open(w.ctx(), fleet.WithNATS(url, nats.Token("another")))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	f, err := fleet.Open(w.ctx(), fleet.WithNATS("nats://"+token+"@"+url[len("nats://"):]), fleet.WithExisting())
	require.NoError(t, err)
	f.Close()
	f, err = fleet.Open(w.ctx(), fleet.WithNATS(url, nats.Token(token)), fleet.WithExisting())
	require.NoError(t, err)
	f.Close()
}

// What the embedded server cannot use is refused at once, and a token is not part of the error.
func TestOpenRefusesWhatTheEmbeddedServerCannotUse(t *testing.T) {
	for _, one := range []struct {
		given        fleet.Option
		option, want string
	}{
		{fleet.WithListen("127.0.0.1:70000", ""), "fleet.WithListen", "0 to 65535"},
		{fleet.WithListen("127.0.0.1:-1", ""), "fleet.WithListen", "0 to 65535"},
		{fleet.WithListen("127.0.0.1:0", "$2a$11$1234567890123456789012"), "fleet.WithListen", "token must not begin like a bcrypt"},
		{fleet.WithListen("127.0.0.1:0", strings.Repeat("x", 513)), "fleet.WithListen", "token must be valid UTF-8 of at most 512 bytes"},
		{fleet.WithListen("127.0.0.1:0", "\xff"), "fleet.WithListen", "token must be valid UTF-8"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		f, err := fleet.Open(ctx, one.given)
		cancel()
		if err == nil {
			f.Close()
		}
		var wrong *wechatws.OptionError
		if assert.ErrorAs(t, err, &wrong, one.want) {
			assert.Equal(t, one.option, wrong.Option)
			assert.Contains(t, wrong.Want, one.want)
			if strings.Contains(one.want, "token") {
				assert.Equal(t, "not shown", wrong.Value)
			}
		}
	}
	for _, token := range []string{strings.Repeat("<", 512), strings.Repeat("\x01", 512), "$2a", "口令 a@b:c/"} {
		f, err := fleet.Open(t.Context(), fleet.WithListen("127.0.0.1:0", token))
		require.NoError(t, err)
		f.Close()
	}
}

// A setting that differs from the fleet's is refused by name, also when only a stream has been changed.
func TestOpenRefusesSettingsThatDiffer(t *testing.T) {
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	refused := func(option, want string, given ...fleet.Option) {
		t.Helper()
		f, err := fleet.Open(w.ctx(), append(given, fleet.WithNATS(w.fleet.URL()))...)
		if err == nil {
			f.Close()
		}
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, option)
		assert.Equal(t, "fleet."+option, wrong.Option)
		assert.Contains(t, wrong.Want, want)
	}
	settle := func(settings string) {
		_, err := w.jetStream().Publish(w.ctx(), "$KV.wechatws-rooms.fleet", []byte(settings))
		require.NoError(t, err)
	}
	accepted := func(given ...fleet.Option) {
		t.Helper()
		f, err := fleet.Open(w.ctx(), append(given, fleet.WithNATS(w.fleet.URL()))...)
		require.NoError(t, err)
		f.Close()
	}
	refused("WithReplicas", "at most 1, the replicas of stream KV_wechatws-rooms", fleet.WithReplicas(3))
	refused("WithLease", "must be 8s", fleet.WithLease(9*time.Second))
	refused("WithShards", "must be 4096", fleet.WithShards(4095))
	refused("WithPartitions", "must be 16", fleet.WithPartitions(17))
	refused("WithKeepIn", "must be 24h0m0s", fleet.WithKeepIn(time.Hour))
	accepted(fleet.WithReplicas(1), fleet.WithLease(8*time.Second), fleet.WithShards(4096), fleet.WithPartitions(16), fleet.WithKeepIn(24*time.Hour))

	settle(`{"lease":8000000000,"leased_by":3,"shards":4096,"partitions":16,"keep_in":86400000000000}`)
	refused("WithReplicas", "must be 3, with which the fleet was made", fleet.WithReplicas(1))
	settle(`{"lease":8000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":86400000000000}`)
	js := w.jetStream()
	in, err := js.Stream(w.ctx(), "wechatws-in")
	require.NoError(t, err)
	config := in.CachedInfo().Config
	config.MaxAge, config.Duplicates = time.Hour, time.Minute
	_, err = js.UpdateStream(w.ctx(), config)
	require.NoError(t, err)
	refused("WithKeepIn", "must be 1h0m0s", fleet.WithKeepIn(24*time.Hour))
	settle(`{"lease":8000000000,"leased_by":1,"shards":4096,"partitions":16,"keep_in":3600000000000}`)
	accepted(fleet.WithKeepIn(time.Hour))
}
