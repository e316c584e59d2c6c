package fleet_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

func TestConfigs(t *testing.T) {
	for name, one := range map[string]struct {
		cfg    fleet.Config
		option string
	}{
		"name":                {fleet.Config{Name: "a.b"}, "fleet.Config.Name"},
		"long name":           {fleet.Config{Name: strings.Repeat("x", 33)}, "fleet.Config.Name"},
		"replicas below zero": {fleet.Config{URL: "nats://h", Replicas: -1}, "fleet.Config.Replicas"},
		"two replicas":        {fleet.Config{URL: "nats://h", Replicas: 2}, "fleet.Config.Replicas"},
		"seven replicas":      {fleet.Config{URL: "nats://h", Replicas: 7}, "fleet.Config.Replicas"},
		"replicas of one":     {fleet.Config{Replicas: 3}, "fleet.Config.Replicas"},
		"options of none":     {fleet.Config{NATS: []nats.Option{nats.Name("x")}}, "fleet.Config.NATS"},
		"dir of another":      {fleet.Config{URL: "nats://h", Dir: "x"}, "fleet.Config.Dir, Config.Listen"},
		"listen of another":   {fleet.Config{URL: "nats://h", Listen: "x"}, "fleet.Config.Dir, Config.Listen"},
		"little in":           {fleet.Config{MaxIn: 1000}, "fleet.Config.MaxIn"},
		"less than no out":    {fleet.Config{MaxOut: -1}, "fleet.Config.MaxOut"},
		"token of none":       {fleet.Config{Token: "hunter2"}, "fleet.Config.Token"},
		"token of another":    {fleet.Config{URL: "nats://h", Token: "hunter2"}, "fleet.Config.Token"},
		"URL":                 {fleet.Config{URL: "nats://me:hunter2@h:port"}, "fleet.Config.URL"},
		"second URL":          {fleet.Config{URL: "nats://h,nats://me:hunter2@[h"}, "fleet.Config.URL"},
		"not NATS":            {fleet.Config{URL: "https://me:hunter2@h"}, "fleet.Config.URL"},
		"lease":               {fleet.Config{Lease: time.Second}, "fleet.Config.Lease"},
		"partitions":          {fleet.Config{Partitions: 257}, "fleet.Config.Partitions"},
		"no partitions":       {fleet.Config{Partitions: -1}, "fleet.Config.Partitions"},
		"keep":                {fleet.Config{KeepIn: time.Second}, "fleet.Config.KeepIn"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := fleet.Open(ctx, one.cfg)
		cancel()
		var wrong *wechatws.OptionError
		if !assert.ErrorAs(t, err, &wrong, name) {
			continue
		}
		assert.Equal(t, one.option, wrong.Option, name)
		assert.NotEmpty(t, wrong.Want, name)
		assert.NotEmpty(t, wrong.Value, name)
		assert.NotContains(t, err.Error(), "hunter2", name)
	}
}

// The password of a NATS that cannot be reached is not told, in errors or in the log.
func TestPasswordsAreNotTold(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := fleet.Open(ctx, fleet.Config{
		URL:    "nats://me:hunter2@127.0.0.1:1, nats://hunter2@127.0.0.1:2",
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.ErrorContains(t, err, "NATS cannot be reached")
	assert.NotContains(t, err.Error(), "hunter2")
	assert.NotContains(t, log.String(), "hunter2")
}

// Who asks for a fleet that is there makes none.
func TestExisting(t *testing.T) {
	w := newWorld(t)
	server, err := fleet.Open(w.ctx(), fleet.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	defer server.Close()
	for range 2 {
		_, err = fleet.Open(w.ctx(), fleet.Config{URL: server.URL(), Name: "other", Existing: true})
		require.ErrorIs(t, err, fleet.ErrNoFleet)
	}
	f, err := fleet.Open(w.ctx(), fleet.Config{URL: server.URL(), Existing: true})
	require.NoError(t, err)
	f.Close()
}
