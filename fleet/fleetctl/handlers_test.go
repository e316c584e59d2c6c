package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

func TestGroupsAndDeadLetters(t *testing.T) {
	w := newWorld(t, "a")
	assert.Equal(t, "GROUP PROCESSES PARTITIONS FREE LAG ROOMS BEHIND\n", same(w.ctl("groups")))
	assert.Empty(t, w.ctl("groups", "--json"))
	assert.Empty(t, w.ctl("dead", "--json"))
	assert.Empty(t, w.ctl("drop", "--all"))
	w.ctl("add", "red", "--endpoint", w.srv.URL())
	conn, err := w.srv.NextConn(t.Context())
	require.NoError(t, err)
	h, err := w.fleet.NewHandlers("bot", fleet.WithFromStart())
	require.NoError(t, err)
	h.OnMessage(func(context.Context, fleet.Message) error { return wechatws.Permanent(errors.New("no such customer")) })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, <-ended)
	}()
	for _, text := range []string{`{"msg_type":"message","n":1}`, "not JSON"} {
		require.NoError(t, conn.Send(text))
	}
	require.Eventually(t, func() bool { return h.Stats().GivenUp == 2 && h.Stats().Partitions == 16 }, 20*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		return w.ctl("groups", "--json") == `{"name":"bot","processes":1,"partitions":16,"free":0,"lag":0,"behind":0}`+"\n"
	}, 20*time.Second, 50*time.Millisecond)
	assert.Equal(t, "GROUP PROCESSES PARTITIONS FREE LAG ROOMS BEHIND\nbot N N 0 0 0\n", same(w.ctl("groups")))

	assert.Regexp(t, `^ID GROUP TIME ROOM TYPE SEQ ATTEMPTS REASON\n`+
		`N bot [-\dN]+ [\d:N]+ red message N N no such customer\n`+
		`N bot [-\dN]+ [\d:N]+ red - N N no such customer\n$`, same(w.ctl("dead")))
	assert.Contains(t, w.ctl("dead", "--data"), `{"msg_type":"message","n":1}`)
	assert.Empty(t, w.ctl("dead", "--group", "other", "--json"))
	assert.Equal(t, `{"id":N,"group":"bot","time":"MOMENT","reason":"no such customer","attempts":N,"room":"red","type":"message","seq":N,`+
		`"received":"MOMENT","data":{"msg_type":"message","n":N}}`+"\n"+
		`{"id":N,"group":"bot","time":"MOMENT","reason":"no such customer","attempts":N,"room":"red","type":"","seq":N,`+
		`"received":"MOMENT","raw":"bm90IEpTT04="}`+"\n", same(w.ctl("dead", "--json")))

	assert.Equal(t, "dead letter 1 is replayed\n", w.ctl("replay", "1"))
	require.Eventually(t, func() bool { return h.Stats().GivenUp == 3 }, 20*time.Second, 10*time.Millisecond)
	assert.Equal(t, `{"dead_letter":2,"done":"dropped"}`+"\n", w.ctl("drop", "2", "--json"))
	assert.Empty(t, w.ctl("drop", "--all", "--group", "other"))
	assert.Equal(t, "dead letter 4 is dropped\n", w.ctl("drop", "--all"))
	for _, args := range [][]string{{"replay"}, {"replay", "x"}, {"drop", "--all", "1"}, {"drop", "--group", "bot", "1"}} {
		_, _, code := w.try(t.Context(), "", args...)
		assert.Equal(t, wrong, code, args)
	}
	_, errs, code := w.try(t.Context(), "", "replay", "3")
	assert.Equal(t, "fleetctl: fleet: no such dead letter: 3\n", errs)
	assert.Equal(t, failed, code)
}

// A message to a room that can never be delivered is a dead letter without a group.
func TestDeadLettersToRooms(t *testing.T) {
	w := newWorld(t)
	worker, err := w.fleet.NewWorker(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		return r.NewClient(r.Endpoint, wechatws.WithQueue(10, 1000, wechatws.QueueFail))
	}, fleet.WithWorkerName("a"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, <-ended)
	}()
	w.ctl("add", "red", "--endpoint", w.srv.URL())
	w.ctl("send", "red", `"`+strings.Repeat("x", 2000)+`"`)
	require.Eventually(t, func() bool { return worker.Stats().Undeliverable == 1 }, 20*time.Second, 10*time.Millisecond)
	assert.Regexp(t, `\nN - [-\dN]+ [\d:N]+ red - N 0 .*message is too big`, same(w.ctl("dead")))
	assert.Contains(t, w.ctl("dead", "--json"), `"group":"","time":"`)
	assert.Equal(t, "dead letter 1 is replayed\n", w.ctl("replay", "1"))
	require.Eventually(t, func() bool { return worker.Stats().Undeliverable == 2 }, 20*time.Second, 10*time.Millisecond)
	assert.Equal(t, "dead letter 3 is dropped\n", w.ctl("drop", "--all"))
	assert.Empty(t, w.ctl("dead", "--json"))
}
