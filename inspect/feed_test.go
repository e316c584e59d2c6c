package inspect

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// counted is a source that counts how often it is looked at.
type counted struct {
	mu         sync.Mutex
	rows       int
	all, quick int
	messages   int64 // received by each row
}

func (c *counted) look(all bool, see func(*row)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !all {
		c.quick++
		return
	}
	c.all++
	for i := range c.rows {
		see(&row{id: strconv.Itoa(i), name: "shop", state: wechatws.StateOpen, errors: noRecentErrors, in: c.messages, rtt: 1500})
	}
}

// looks is how often all rows were looked at, and how often only what had changed.
func (c *counted) looks() [2]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return [2]int{c.all, c.quick}
}

// become changes what there is to see.
func (c *counted) become(rows int, messages int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows, c.messages = rows, messages
}

func TestOneSamplerForAllViewersAndNoneForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{rows: 1}
		f := &feed{source: c.look}
		time.Sleep(time.Hour)
		require.Equal(t, [2]int{}, c.looks())

		var viewers []*viewer
		for range 20 {
			viewers = append(viewers, f.join(head{}))
		}
		require.Equal(t, [2]int{1, 0}, c.looks())
		time.Sleep(20*time.Second + glanceEvery/2)
		synctest.Wait()
		require.Equal(t, [2]int{11, 70}, c.looks())
		for _, v := range viewers {
			require.Len(t, v.updates, 10)
			f.leave(v)
			f.leave(v) // as after it was dropped
		}
		synctest.Wait()
		require.False(t, f.runs())
		time.Sleep(time.Hour)
		require.Equal(t, [2]int{11, 70}, c.looks())

		v := f.join(head{}) // and it starts again
		time.Sleep(4*time.Second + glanceEvery/2)
		synctest.Wait()
		require.Equal(t, [2]int{14, 84}, c.looks())
		require.Len(t, v.updates, 2)
		f.leave(v)
	})
}

func TestAViewerWhoDoesNotKeepUpIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{rows: 1}
		f := &feed{source: c.look}
		slow, quick := f.join(head{}), f.join(head{})
		taken := 0
		for range updatesBehind + 5 {
			time.Sleep(tickEvery)
			synctest.Wait()
			for len(quick.updates) > 0 {
				<-quick.updates
				taken++
			}
		}
		require.Equal(t, updatesBehind+5, taken)
		f.mu.Lock()
		require.Len(t, f.viewers, 1)
		f.mu.Unlock()
		got := 0
		for range slow.updates { // it is closed
			got++
		}
		require.Equal(t, updatesBehind, got)
		f.leave(slow)
		require.True(t, f.runs())
		f.leave(quick)
	})
}

// The page draws its sparklines on from updates: a viewer who was there all the time
// must know what one who joins is told.
func TestRatesAndRoundTripsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{rows: 2}
		f := &feed{source: c.look}
		v := f.join(head{})
		messages := int64(0)
		for n := range int64(70) {
			messages += n
			c.become(2, messages)
			time.Sleep(tickEvery)
			synctest.Wait()
			for len(v.updates) > 0 {
				<-v.updates
			}
		}
		rows := everythingOf(t, f).Rows
		require.Len(t, rows, 2)
		require.InDelta(t, 34.5, rows[1]["in_rate"], 0.001)
		require.InDelta(t, 0, rows[1]["out_rate"], 0)
		rates, rtts := rows[1]["rates"].([]any), rows[1]["rtts"].([]any)
		require.Len(t, rates, seriesTicks)
		require.Len(t, rtts, seriesTicks)
		require.InDelta(t, 345, rates[seriesTicks-1], 0, "in ten seconds")
		require.InDelta(t, 50, rates[0], 0)
		require.InDelta(t, 1500, rtts[0], 0)

		// What was while nobody looked is not known, nor is a rate over it.
		f.leave(v)
		synctest.Wait()
		time.Sleep(10*tickEvery + time.Second/2)
		row := everythingOf(t, f).Rows[0]
		require.Nil(t, row["in_rate"])
		rates = row["rates"].([]any)
		require.Len(t, rates, seriesTicks)
		require.InDelta(t, 345, rates[seriesTicks-11], 0)
		for _, rate := range rates[seriesTicks-10:] {
			require.Nil(t, rate)
		}
	})
}

// A process that is started anew counts from zero.
func TestNoRateIsBelowZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{rows: 1, messages: 1000}
		f := &feed{source: c.look}
		f.now(head{})
		var rates []any
		for _, messages := range []int64{1010, 4, 24} {
			c.become(1, messages)
			time.Sleep(tickEvery)
			rates = append(rates, everythingOf(t, f).Rows[0]["in_rate"])
		}
		require.Equal(t, []any{5., nil, 10.}, rates)
	})
}

func (f *feed) runs() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stop != nil
}

func everythingOf(t *testing.T, f *feed) (u update) {
	t.Helper()
	b := f.now(head{})
	require.NoError(t, json.Unmarshal(b, &u), string(b))
	return u
}

func TestARowThatIsGoneIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{rows: 3}
		f := &feed{source: c.look}
		v := f.join(head{})
		defer f.leave(v)
		c.become(1, 0)
		time.Sleep(tickEvery)
		synctest.Wait()
		var u update
		require.NoError(t, json.Unmarshal(<-v.updates, &u))
		require.Equal(t, []string{"1", "2"}, u.Gone)
		require.Len(t, everythingOf(t, f).Rows, 1)
	})
}

// What has changed must make of what a viewer has what one who joins is told.
func TestChangesAddUpToEverything(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var removes []func()
		for range 5 {
			c, conn := w.open()
			removes = append(removes, w.page.Add("shop", c))
			go func() {
				for range 30 {
					time.Sleep(700 * time.Millisecond)
					if conn.Send(`{}`) != nil {
						return
					}
				}
			}()
		}
		s := w.watch()
		had := map[string]fact{}
		first := s.take()
		require.Len(t, first, 1)
		require.Equal(t, "all", first[0].Event)
		for _, r := range first[0].Rows {
			had[r["id"].(string)] = r
		}
		w.sleep(7 * time.Second)
		removes[3]()
		c, _ := w.open()
		w.page.Add("new", c)
		w.srv.Stop(0)
		w.sleep(2100 * time.Millisecond)
		w.srv.Start()
		w.sleep(30 * time.Second)
		var last update
		for _, u := range s.take() {
			require.Empty(t, u.Event)
			for _, r := range u.Rows {
				id := r["id"].(string)
				if had[id] == nil {
					had[id] = fact{}
				}
				for k, v := range r {
					had[id][k] = v
				}
			}
			for _, id := range u.Gone {
				delete(had, id)
			}
			last = u
		}
		require.NotZero(t, last.Tick)
		now := map[string]fact{}
		for _, r := range w.watch().take()[0].Rows {
			now[r["id"].(string)] = r
		}
		require.Len(t, now, 5)
		for _, rows := range []map[string]fact{had, now} {
			for _, r := range rows { // the page goes on with these by itself
				delete(r, "rates")
				delete(r, "rtts")
			}
		}
		require.Equal(t, now, had)
	})
}

func TestAStateIsToldAtOnce(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		w.page.Add("shop", c)
		s := w.watch()
		require.Equal(t, "idle", s.take()[0].Rows[0]["state"])
		w.sleep(tickEvery + glanceEvery/2)
		s.take()
		require.NoError(t, c.Connect(context.WithoutCancel(t.Context())))
		w.sleep(glanceEvery)
		require.Equal(t, "open", s.changes()["1"]["state"])
	})
}
