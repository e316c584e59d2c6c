package fleet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// What a room sends beyond its budget is dropped and reported, and another room loses nothing.
func TestARoomHasABudget(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		messages, bytes int
		text            string
		published       int
	}{
		"of messages": {2, 1 << 20, "x", 20},
		"of bytes":    {1000, 1000, strings.Repeat("x", 2000), 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add(2)
			errs := make(chan error, 100)
			began := time.Now()
			a := w.workerReporting(func(room string, err error) {
				assert.Equal(t, "r0", room)
				errs <- err
			}, quietly, fleet.WithRoomBudget(one.messages, one.bytes))
			got := w.handle("g")
			conns := w.connections(2)
			conn, other := conns["r0"], conns["r1"]
			for n := range 50 {
				require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"message","content":%q,"n":%d}`, one.text, n)))
			}
			require.NoError(t, other.Send(`{"msg_type":"other"}`))
			require.Eventually(t, func() bool { s := a.Stats(); return s.In+s.OverBudget == 51 }, patience, tick)
			// What has come in meanwhile, on a busy machine.
			more := int(time.Since(began).Seconds()*float64(one.messages)) + 1
			in := int(a.Stats().In) - 1
			assert.GreaterOrEqual(t, in, one.published)
			assert.LessOrEqual(t, in, one.published+more)
			assert.EqualValues(t, 50-in, a.Stats().OverBudget)
			assert.ErrorContains(t, receiving(w, errs), "messages are not published")
			others := 0
			for range in + 1 {
				if got.next().Room == "r1" {
					others++
				}
			}
			assert.Equal(t, 1, others)
		})
	}
}

// Answers to heartbeats are not published, and of other messages those of the types that are chosen.
func TestWhatIsPublished(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		options []fleet.WorkerOption
		want    []string
	}{
		{nil, []string{"message", "", "notice"}},
		{[]fleet.WorkerOption{fleet.WithTypes("notice")}, []string{"notice"}},
		{[]fleet.WorkerOption{fleet.WithTypes("notice", "")}, []string{"", "notice"}},
	} {
		t.Run(fmt.Sprint(one.want), func(t *testing.T) {
			w := newWorld(t)
			w.add(1)
			a := w.workerWith(quietly, one.options...)
			got := w.handle("g")
			conn := w.conn("r0")
			for _, text := range []string{`{"msg_type":"message"}`, `{"msg_type":"pong"}`, `{"content":1}`, `{"msg_type":"notice"}`} {
				require.NoError(t, conn.Send(text))
			}
			for _, want := range one.want {
				assert.Equal(t, want, got.next().Type)
			}
			require.Eventually(t, func() bool { return a.Stats().In == int64(len(one.want)) }, patience, tick)
			assert.Zero(t, a.Stats().OverBudget, "what is not chosen is not dropped")
		})
	}
	w := newWorld(t)
	for _, option := range []fleet.WorkerOption{fleet.WithTypes(), fleet.WithRoomBudget(0, 1), fleet.WithRoomBudget(1, 0)} {
		_, err := w.fleet.NewWorker(quietly, option)
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong)
	}
}
