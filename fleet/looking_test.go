package fleet_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// Looking needs no more than the permissions in docs/fleet-operating.md, and the methods of a
// Fleet change nothing with them. (Other requests do, see the document.)
func TestLookingNeedsNoPermissionToWrite(t *testing.T) {
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		Users: []*server.User{
			{Username: "worker", Password: "w"},
			{Username: "looker", Password: "l", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: documentedPermissions(t)},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
		},
	})
	require.NoError(t, err)
	ns.Start()
	t.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	require.True(t, ns.ReadyForConnections(10*time.Second))

	open := func(user, password string, options ...fleet.Option) (*fleet.Fleet, error) {
		return fleet.Open(t.Context(), append(options, fleet.WithNATS(ns.ClientURL(), nats.UserInfo(user, password), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Log(user, err) })))...)
	}
	srv := wstest.NewServer()
	t.Cleanup(srv.Close)
	_, err = open("looker", "l", fleet.WithExisting())
	require.ErrorIs(t, err, fleet.ErrNoFleet)
	f, err := open("worker", "w")
	require.NoError(t, err)
	t.Cleanup(f.Close)
	require.NoError(t, f.Control().Add(t.Context(), fleet.Spec{ID: "r", Endpoint: srv.URL()}))
	worker, err := f.NewWorker(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		return r.NewClient(r.Endpoint)
	}, fleet.WithWorkerName("a"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})

	looking, err := open("looker", "l", fleet.WithExisting())
	require.NoError(t, err)
	t.Cleanup(looking.Close)
	for s, err := range looking.Control().Watch(t.Context()) {
		require.NoError(t, err)
		if s.Worker == "a" {
			break
		}
	}
	rooms, err := looking.Control().List(t.Context())
	require.NoError(t, err)
	assert.Len(t, rooms, 1)
	stats, err := looking.Control().Stats(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, "a", stats.Name)
	rows := looking.Rows()
	require.Eventually(t, func() bool {
		for r := range rows {
			return r.Name == "r"
		}
		return false
	}, patience, 20*time.Millisecond)
	conn, err := srv.NextConn(t.Context())
	require.NoError(t, err)
	go func() {
		for ; conn.Send(`{"msg_type":"hi"}`) == nil; time.Sleep(20 * time.Millisecond) {
		}
	}()
	for m, err := range looking.Tail(t.Context(), "r") {
		require.NoError(t, err)
		assert.Equal(t, "hi", m.Type)
		break
	}

	h, err := f.NewHandlers("g", fleet.WithFromStart())
	require.NoError(t, err)
	h.OnMessage(func(context.Context, fleet.Message) error { return wechatws.Permanent(context.Canceled) })
	handling := make(chan error, 1)
	go func() { handling <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-handling) })
	require.Eventually(t, func() bool { return h.Stats().GivenUp > 0 && h.Stats().Partitions == 16 }, patience, tick)
	groups, err := looking.Control().Groups(t.Context())
	require.NoError(t, err)
	require.Len(t, groups, 1)
	assert.Equal(t, 16, groups[0].Partitions)
	var dead fleet.DeadLetter
	for dead, err = range looking.Control().DeadLetters(t.Context()) {
		require.NoError(t, err)
		break
	}
	assert.Equal(t, "hi", dead.Type)

	for what, change := range map[string]func(context.Context) error{
		"drop":   func(ctx context.Context) error { return looking.Control().Drop(ctx, dead.ID) },
		"replay": func(ctx context.Context) error { return looking.Control().Replay(ctx, dead.ID) },
		"add":    func(ctx context.Context) error { return looking.Control().Add(ctx, fleet.Spec{ID: "no"}) },
		"remove": func(ctx context.Context) error { _, err := looking.Control().Remove(ctx, "r"); return err },
		"drain":  func(ctx context.Context) error { return looking.Control().Drain(ctx, "a") },
		"send":   func(ctx context.Context) error { return looking.Send(ctx, "r", wechatws.Text("{}")) },
	} {
		ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
		assert.Error(t, change(ctx), what)
		stop()
	}
	rooms, err = f.Control().List(t.Context())
	require.NoError(t, err)
	assert.Len(t, rooms, 1)
	assert.True(t, worker.Ready())
}

// documentedPermissions returns the subjects that the document lists for users that only read.
func documentedPermissions(t *testing.T) (subjects []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/fleet-operating.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "### Permissions to read\n")
	require.True(t, found)
	_, after, _ = strings.Cut(after, "```\n")
	block, _, _ := strings.Cut(after, "```")
	for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(block, -1) {
		if m[1] != "_INBOX.>" {
			subjects = append(subjects, m[1])
		}
	}
	require.NotEmpty(t, subjects)
	return subjects
}
