package fleet_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// printedAll returns v in every way in which it may come into a log.
func printedAll(v any) string {
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "v", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "v", v)
	for _, verb := range "vTtbcdoOqxXUeEfFgGspyz" { // y and z are none
		for _, flags := range []string{"", "+", "#", "-40.400"} {
			fmt.Fprintf(&log, "%"+flags+string(verb)+"\n", v)
		}
	}
	return log.String()
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

// A worker and handlers may be printed while they run: under the race detector, the test fails if one of
// their fields is read that changes.
func TestWhatHoldsAFleetIsPrintedWithoutItsSecrets(t *testing.T) {
	const token = "s3cret"
	f, err := fleet.Open(t.Context(), fleet.WithListen("127.0.0.1:0", token))
	require.NoError(t, err)
	t.Cleanup(f.Close)
	address := strings.TrimPrefix(f.URL(), "nats://")
	g, err := fleet.Open(t.Context(), fleet.WithNATS("nats://"+token+"@"+address))
	require.NoError(t, err)
	t.Cleanup(g.Close)
	w := &world{T: t, fleet: g, srv: wstest.NewServer()}
	t.Cleanup(w.srv.Close)
	require.NoError(t, g.Control().Add(t.Context(), fleet.Spec{ID: "a\n", Endpoint: w.srv.URL()}))
	rooms := make(chan *fleet.Room, 1)
	worker := w.workerWith(func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) {
		rooms <- r
		return quietly(ctx, r)
	}, fleet.WithWorkerName("w"))
	room := <-rooms
	handlers, err := g.NewHandlers("g")
	require.NoError(t, err)
	running := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { running <- handlers.Run(ctx) }()
	defer func() { cancel(); <-running }()

	at := ` of fleet "wechatws" at nats://` + address
	control := g.Control()
	for text, v := range map[string]any{
		"control" + at:      control,
		`worker "w"` + at:   worker.Worker,
		`handlers "g"` + at: handlers,
		fmt.Sprintf(`room "a\n", fence %d`, room.Fence): room,
	} {
		assert.Equal(t, text, fmt.Sprint(v))
		assert.Equal(t, strings.TrimPrefix(fmt.Sprintf("%T(%s)", v, text), "*"), fmt.Sprintf("%#v", v))
		assert.Equal(t, fmt.Sprintf("[%300.200s] %x", text, text), fmt.Sprintf("[%300.200s] %x", v, v))
		assert.Equal(t, "%!d(string="+text+")", fmt.Sprintf("%d", v))
	}
	for _, v := range []any{f, g, control, &control, worker.Worker, handlers, room, *room} {
		assertNotPrinted(t, token, v)
	}
}

// The methods of values in unexported fields are not called.
func TestWhatIsInUnexportedFieldsIsPrintedWithoutItsSecrets(t *testing.T) {
	const token = "s3cret"
	f, err := fleet.Open(t.Context(), fleet.WithListen("127.0.0.1:0", token))
	require.NoError(t, err)
	t.Cleanup(f.Close)
	g, err := fleet.Open(t.Context(), fleet.WithNATS(strings.Replace(f.URL(), "nats://", "nats://"+token+"@", 1)))
	require.NoError(t, err)
	t.Cleanup(g.Close)
	for _, one := range []*fleet.Fleet{f, g} {
		worker, err := one.NewWorker(quietly)
		require.NoError(t, err)
		handlers, err := one.NewHandlers("g")
		require.NoError(t, err)
		held := struct {
			fleet    *fleet.Fleet
			control  fleet.Control
			worker   *fleet.Worker
			handlers *fleet.Handlers
		}{one, one.Control(), worker, handlers}
		assertNotPrinted(t, token, held)
		assertNotPrinted(t, token, &held)
	}
}

func assertNotPrinted(t *testing.T, secret string, v any) {
	t.Helper()
	text := printedAll(v)
	for _, verb := range []string{"%s", "%x", "%X", "% x", "% X", "%d", "%c", "%U"} {
		if hidden := fmt.Sprintf(verb, []byte(secret)); strings.Contains(text, strings.Trim(hidden, "[]")) {
			assert.Fail(t, "a secret is printed", "%T as %s: %s", v, verb, hidden)
		}
	}
}
