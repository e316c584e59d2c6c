package liveroom_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// repeats has another member talk while test runs.
func (w *world) repeats(every time.Duration, test func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-time.After(every):
				w.backend.Say(roomID, "b", fmt.Sprint("chatter ", i))
			case <-stop:
				return
			}
		}
	}()
	test()
	close(stop)
	<-stopped
}

// A comment that the server shows with another text is not written again and again, in a room that is
// silent, and in one that talks; also if each connection is cut before the time for the echo is over.
func TestACensoredCommentIsNotRepeated(t *testing.T) {
	for name, tt := range map[string]struct {
		every, cut time.Duration // zero: never
		written    int
	}{
		"silent": {written: 1},
		"talks":  {every: time.Second, written: 1},
		"cut":    {cut: 5 * time.Second, written: 2},
	} {
		t.Run(name, func(t *testing.T) {
			q := liveroomtest.GatewayWorker()
			q.Censored = "darn"
			virtual(t, q, func(t *testing.T, w *world) {
				v := w.plain(as("a")).enter()
				require.NoError(t, v.SayConfirmed(t.Context(), "before"))
				r := v.confirm(t.Context(), "oh darn")
				for range 300 {
					w.sleep(time.Second)
					if tt.every > 0 {
						w.backend.Say(roomID, "b", "chatter")
					}
					if tt.cut > 0 && time.Now().Unix()%int64(tt.cut.Seconds()) == 0 {
						w.backend.Kick(roomID, "a")
					}
				}
				require.True(t, r.over())
				require.ErrorIs(t, r.err, liveroom.ErrNotShown)
				require.ErrorContains(t, r.err, `the server has shown "oh ****" of this member since it was written`)
				require.Equal(t, slices.Repeat([]string{"oh darn"}, tt.written), w.said()[1:])
			})
		})
	}
}

// Nor is one of which neither an echo nor a history is received: it ends after two connections.
func TestWithoutHistoryACommentIsWrittenTwice(t *testing.T) {
	virtual(t, liveroomtest.Quirks{NoEcho: true, HistorySize: 1}, func(t *testing.T, w *world) {
		v := w.plain(as("a")).enter()
		r := v.confirm(t.Context(), "hello")
		for range 10 {
			w.backend.Say(roomID, "b", fmt.Sprint("chatter at ", time.Now()))
			w.backend.Kick(roomID, "a")
			w.sleep(10 * time.Second)
		}
		require.True(t, r.over())
		require.ErrorIs(t, r.err, liveroom.ErrNotShown)
		require.ErrorContains(t, r.err, "written 2 times, and the history does not decide")
		require.Equal(t, []string{"hello", "hello"}, w.said())
	})
}

// A comment that the history shows is missing is written on as many connections as it takes.
func TestACommentOutlivesManyConnections(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.plain(as("a")).enter()
		require.NoError(t, v.SayConfirmed(t.Context(), "before"))
		r := (*result)(nil)
		for i := range 5 {
			go w.backend.Reload(time.Second)
			synctest.Wait()
			if i == 0 {
				r = v.confirm(t.Context(), "hello")
			}
			w.sleep(500 * time.Millisecond)
			w.backend.Kick(roomID, "a")
			w.sleep(time.Second)
			require.False(t, r.over())
			for v.State().String() != "open" {
				w.sleep(time.Millisecond)
			}
		}
		w.sleep(time.Minute)
		require.True(t, r.over())
		require.NoError(t, r.err)
	})
}

// Shelf events of others are no comment of this member.
func TestShelvesAreNoOtherText(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v, anchor := w.plain(as("a")).enter(), w.plain(as("anchor")).enter()
		require.NoError(t, v.SayConfirmed(t.Context(), "before"))
		go w.backend.Reload(time.Second)
		synctest.Wait()
		r := v.confirm(t.Context(), "hello")
		for range 11 {
			w.sleep(time.Second)
			require.NoError(t, anchor.PutOnShelf(t.Context(), liveroom.Goods{ID: liveroom.Num(1)}))
		}
		w.sleep(time.Second)
		require.True(t, r.over())
		require.NoError(t, r.err)
	})
}

// What servers do to a text is not another text.
func TestTextsThatServersChange(t *testing.T) {
	escaped, numeric := liveroomtest.GatewayWorker(), liveroomtest.GatewayWorker()
	escaped.EscapedHTML, numeric.NumericCheck = true, true
	for name, tt := range map[string]struct {
		quirks liveroomtest.Quirks
		texts  []string
	}{
		"escaped": {escaped, []string{
			"a < b", "https://shop.example/?id=1&region=cn", "?a=1&copy=2", "a &amp; b", "1 &lt 2", "&nbsp;", "&amp;lt;", "&#38;lt;", "AT&T",
			"\xe4\xbd", "bad\xff", "a\n\nb", `it's "so"`, "<br />", "a<br>\nb",
		}},
		"numeric": {numeric, []string{
			"666", "9.90", "1.50", "007", "+1", "1e3", "-0.50", ".5", "12345678901234567890", "1.7976931348623157e308", "1e999", "0x10", "1_000", "inf", "NaN", "1.2.3",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, tt.quirks, func(t *testing.T, w *world) {
				v := w.plain(as("a")).enter()
				for _, text := range tt.texts {
					require.NoError(t, v.SayConfirmed(t.Context(), text), "%q", text)
				}
			})
		})
	}
	for text, echo := range map[string]string{
		"a\nb": "a<br>b", "a\r\nb": "a<BR/>b", "a &lt; b": "a < b", "a\u00a0b": "a&nbsp;b", "a\u3000b": "a b",
	} {
		virtual(t, liveroomtest.Quirks{NoEcho: true}, func(t *testing.T, w *world) {
			v := w.plain(as("a")).enter()
			r := v.confirm(t.Context(), text)
			w.backend.Say(roomID, "a", echo)
			synctest.Wait()
			require.True(t, r.over(), "%q", text)
			require.NoError(t, r.err)
		})
	}
	for text, echo := range map[string]string{"7": "8", "1.5": "1.51", "a\nb": "ab", "12345678901234567": "12345678901234568", "a & b": "a b"} {
		virtual(t, liveroomtest.Quirks{NoEcho: true}, func(t *testing.T, w *world) {
			v := w.plain(as("a")).enter()
			r := v.confirm(t.Context(), text)
			w.backend.Say(roomID, "a", echo)
			synctest.Wait()
			require.False(t, r.over(), "%q", text)
		})
	}
}

// Comments with the same text that the server has dropped do not take the echo of one that a call waits
// for, whether Say or SayConfirmed has sent them.
func TestDroppedCommentsOfTheSameText(t *testing.T) {
	for _, dropped := range []int{1, 2, 5} {
		for _, age := range []time.Duration{0, 5 * time.Second, 30 * time.Second, 2 * time.Minute, time.Hour} {
			for _, confirmed := range []bool{true, false} {
				t.Run(fmt.Sprint(dropped, age, confirmed), func(t *testing.T) {
					virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
						v := w.plain(as("a")).enter()
						require.NoError(t, v.SayConfirmed(t.Context(), "before"))
						go w.backend.Reload(time.Duration(dropped) * time.Second)
						synctest.Wait()
						for range dropped {
							if confirmed {
								ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
								require.ErrorIs(t, v.SayConfirmed(ctx, "hello"), context.DeadlineExceeded)
								cancel()
							} else {
								v.say("hello")
							}
						}
						w.repeats(time.Second, func() {
							w.sleep(time.Duration(dropped)*time.Second + age)
							require.NoError(t, v.SayConfirmed(t.Context(), "hello"))
							v.say("hello") // of which the echo is nobody else's
							require.NoError(t, v.SayConfirmed(t.Context(), "after"))
						})
						want := append([]string{"before"}, slices.Repeat([]string{"hello"}, dropped+2)...)
						require.Equal(t, append(want, "after"), w.said())
						synctest.Wait() // the snapshot has it a moment later
						var shown []string
						synctest.Wait() // for the callbacks
						for _, c := range v.Snapshot().Comments {
							if c.Own {
								shown = append(shown, string(c.Content))
							}
						}
						require.Equal(t, "hello hello after", strings.TrimPrefix(strings.Join(shown, " "), "before "))
					})
				})
			}
		}
	}
}

// What Say has sent before is not another text of the comment that is written behind it: that is lost
// by a reload, and written once more.
func TestTheEchoOfSayIsStillExpected(t *testing.T) {
	virtual(t, liveroomtest.Quirks{NoEcho: true, ReloadLoses: true}, func(t *testing.T, w *world) {
		v := w.plain(as("a")).enter()
		v.say("hello")
		first := v.confirm(t.Context(), "hello")
		w.backend.Say(roomID, "a", "hello") // the echoes
		synctest.Wait()
		require.True(t, first.over())
		second := v.confirm(t.Context(), "second") // is lost
		w.backend.Say(roomID, "a", "hello")
		w.repeats(time.Second, func() { w.sleep(15 * time.Second) })
		require.False(t, second.over())
		require.Equal(t, []string{"hello", "hello", "second", "second"}, w.said())
	})
}
