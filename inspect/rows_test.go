package inspect

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

func TestRowsFromElsewhere(t *testing.T) {
	virtualPage(t, New(WithReconnect()), func(t *testing.T, w *world) {
		w.page.Add("shop", w.client())
		var rows atomic.Pointer[[]Row] // the newest
		rows.Store(&[]Row{
			{Name: "shop", Where: "worker 1", Stats: wechatws.Stats{State: wechatws.StateOpen, Since: w.start.Add(-time.Hour), MessagesIn: 10}},
			{Name: "shop", Where: "worker 2", Stats: wechatws.Stats{State: wechatws.StateWaiting, Since: w.start, RetryAt: w.start.Add(time.Minute)}},
			{Name: "shop", Where: "worker 1", Stats: wechatws.Stats{State: wechatws.StateFailed}}, // the same once more
		})
		var calls atomic.Int64
		remove := w.page.AddRows(func(yield func(Row) bool) {
			calls.Add(1)
			for _, r := range *rows.Load() {
				if !yield(r) {
					return
				}
			}
		})
		w.sleep(time.Minute)
		require.Zero(t, calls.Load(), "nobody looks")

		s := w.watch()
		first := s.take()[0].Rows
		require.Len(t, first, 3)
		require.Equal(t, "", first[0]["where"])
		require.Equal(t, true, first[0]["here"])
		require.Equal(t, "worker 1", first[1]["where"])
		require.Equal(t, "open", first[1]["state"])
		require.Equal(t, false, first[1]["here"])
		require.Equal(t, "worker 2", first[2]["where"])
		require.InDelta(t, w.start.Add(time.Minute).UnixMilli(), first[2]["retry_at"], 0)
		letters, newest := cells(t, first[1]["strip"].(string))
		require.Equal(t, strings.Repeat("-", stripCells-1)+"o", letters)
		require.Equal(t, cellOf(time.Now())-stripCells+1, newest, "open for longer than is shown")

		res, _ := w.ask("POST", "?reconnect="+first[1]["id"].(string))
		require.Equal(t, http.StatusNotFound, res.StatusCode)

		at := time.Now().Add(time.Second)
		two := (*rows.Load())[1]
		rows.Store(&[]Row{{Name: "shop", Where: "worker 1", Stats: wechatws.Stats{
			State: wechatws.StateWaiting, Since: at, MessagesIn: 30, LastError: errors.New("wechatws: it broke"), LastErrorAt: at,
		}}, two})
		w.sleep(3 * tickEvery)
		change := s.changes()[first[1]["id"].(string)]
		require.Equal(t, "waiting", change["state"])
		require.InDelta(t, 30, change["in"], 0)
		require.Equal(t, []any{map[string]any{"at": float64(at.UnixMilli()), "text": "it broke", "times": 1.}}, change["errors"])
		letters, _ = cells(t, change["strip"].(string))
		require.Equal(t, "ow", letters[stripCells-2:])
		require.EqualValues(t, 1+3, calls.Load())

		rows.Store(&[]Row{two})
		w.sleep(tickEvery)
		require.Equal(t, []string{first[1]["id"].(string)}, s.take()[0].Gone)

		remove()
		remove()
		w.sleep(tickEvery)
		require.Equal(t, []string{first[2]["id"].(string)}, s.take()[0].Gone)
		require.Len(t, w.rows(), 1)
	})
}

func TestRowsMayBeTakenBackWhileTheyAreShown(t *testing.T) {
	p := New()
	var remove func()
	remove = p.AddRows(func(yield func(Row) bool) {
		remove()
		p.AddRows(func(yield func(Row) bool) { yield(Row{Name: "next"}) })
		yield(Row{Name: "last"})
	})
	require.Equal(t, "last", everythingOf(t, &p.feed).Rows[0]["name"])
	rows := everythingOf(t, &p.feed).Rows
	require.Len(t, rows, 1)
	require.Equal(t, "next", rows[0]["name"])
}
