package liveroom_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

var seed = flag.Uint64("random.seed", 0, "run TestRandomRoom with this seed only")

// A room and a backend that do anything at any time. Whatever happens, the join
// comes first on every connection and carries its client_id, and so does all that
// follows; in the end we are in the room, and its comments are in order, none twice.
func TestRandomRoom(t *testing.T) {
	seeds := []uint64{*seed}
	if *seed == 0 {
		seeds = nil
		for s := range uint64(40) {
			seeds = append(seeds, s+1)
		}
	}
	for _, s := range seeds {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			defer func() {
				if t.Failed() {
					t.Logf("again: go test -run TestRandomRoom ./liveroom -random.seed=%d", s)
				}
			}()
			randomRoom(t, rand.New(rand.NewPCG(s, s)))
		})
	}
}

func randomRoom(t *testing.T, r *rand.Rand) {
	q := liveroomtest.Quirks{}
	if r.IntN(2) == 0 {
		q = liveroomtest.GatewayWorker()
	}
	q.SayWho = r.IntN(2) == 0
	q.CloseFrames = r.IntN(3) == 0
	q.HistorySize = 200 // reaches back to everything
	virtual(t, q, func(t *testing.T, w *world) {
		v := w.visitor(as("bot"), wechatws.WithJitter(0.5))
		other := w.visitor(as("other"), wechatws.WithJitter(0.5)).enter()
		v.enter()
		said := 0
		up := true
		for range 40 {
			switch r.IntN(12) {
			case 0, 1, 2:
				said++
				v.say(fmt.Sprintf("comment %03d of the bot", said))
			case 3, 4:
				w.backend.Say(roomID, "x", fmt.Sprintf("comment %v", time.Now().UnixNano()))
			case 5:
				w.backend.Kick(roomID, "bot")
			case 6:
				for _, c := range w.backend.Server().Conns() {
					if r.IntN(2) == 0 {
						c.Cut([]wstest.Cut{wstest.FIN, wstest.RST}[r.IntN(2)])
					}
				}
			case 7:
				if up = !up; up {
					w.backend.Start()
				} else {
					w.backend.Stop()
				}
			case 8:
				w.backend.Freeze(r.IntN(2) == 0)
			case 9:
				w.backend.ThrowOut(roomID, "bot")
			case 10:
				_ = v.Reconnect() // an error when it was left
			case 11:
				if r.IntN(4) == 0 {
					_ = v.Leave() // with what it could not deliver
					go func() { _ = v.Connect(t.Context()) }()
					w.sleep(0)
				}
			}
			w.sleep(time.Duration(r.Int64N(int64(5 * time.Second))))
		}
		w.backend.Freeze(false)
		w.backend.Start()
		w.sleep(15 * time.Minute) // longer than any wait
		if !v.Snapshot().Joined {
			t.Fatalf("not joined; last change %+v", v.lastChange())
		}
		if r.IntN(2) == 0 { // should it have been thrown out, it notices when it speaks
			said++
			v.say(fmt.Sprintf("comment %03d of the bot", said))
			w.sleep(time.Minute)
		}
		checkWire(t, w)
		checkComments(t, v.Snapshot().Comments)
		checkComments(t, other.Snapshot().Comments)
	})
}

// checkWire looks at what every connection has sent.
func checkWire(t *testing.T, w *world) {
	ids := map[string]bool{}
	for _, c := range w.backend.Server().Conns() {
		id := ""
		for i, text := range sent(c) {
			var m struct {
				Type     string         `json:"msg_type"`
				ClientID liveroom.Value `json:"client_id"`
			}
			require.NoError(t, json.Unmarshal([]byte(text), &m))
			switch {
			case i == 0:
				require.Equal(t, "join", m.Type, "first on connection %d", c.ID())
				id = m.ClientID.String()
				require.NotEmpty(t, id)
				require.False(t, ids[id], "the id of an earlier connection")
				ids[id] = true
			case m.Type != "ping":
				require.Equal(t, id, m.ClientID.String(), "connection %d: %s", c.ID(), text)
			}
		}
	}
}

// checkComments demands that no comment is there twice, and the bot's are in order.
// What was written to a connection that then broke may be missing.
func checkComments(t *testing.T, comments []liveroom.Comment) {
	seen := map[liveroom.Text]bool{}
	last := liveroom.Text("")
	for _, c := range comments {
		require.False(t, seen[c.Content], "twice: %s\n%v", c.Content, texts(comments))
		seen[c.Content] = true
		if c.FromName == "bot" {
			require.Less(t, last, c.Content)
			last = c.Content
		}
	}
}
