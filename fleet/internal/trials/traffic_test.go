package trials_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// traffic is what is said in every room, numbered, in both directions.
type traffic struct {
	rooms   []string
	backend *liveroomtest.Backend
	fleet   *fleet.Fleet

	hush    context.CancelFunc
	talking sync.WaitGroup

	mu      sync.Mutex
	said    map[string]int    // by visitors, the last number in each room
	sent    map[string][]sent // to the rooms, by number - 1
	total   int               // of these
	refused int               // Sends that returned an error, and were tried again
}

// sent is one message to a room.
type sent struct {
	confirmed bool
	attempts  int // to have it stored
}

// number reads a text such as "visitor 7".
func number(text, kind string) (int, bool) {
	digits, ok := strings.CutPrefix(text, kind+" ")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

// talk starts the traffic, until hush is called. Numbers continue from where they were.
func (tr *traffic) talk() {
	ctx, hush := context.WithCancel(context.Background())
	tr.hush = hush
	next := 0
	tr.every(ctx, slower*5*time.Millisecond, func() {
		room := tr.rooms[next%len(tr.rooms)]
		next++
		tr.mu.Lock()
		tr.said[room]++
		n := tr.said[room]
		tr.mu.Unlock()
		tr.backend.Say(room, "visitor", fmt.Sprint("visitor ", n))
	})
	// A room's messages are sent one after the other, or they had no order.
	half := len(tr.rooms) / 2
	for _, rooms := range [][]string{tr.rooms[:half], tr.rooms[half:]} {
		tr.every(ctx, slower*15*time.Millisecond, func() { tr.send(rooms[rand.IntN(len(rooms))]) })
	}
}

// quiet ends the traffic, and returns when it has ended.
func (tr *traffic) quiet() {
	tr.hush()
	tr.talking.Wait()
}

func (tr *traffic) every(ctx context.Context, pace time.Duration, do func()) {
	tr.talking.Go(func() {
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				do()
			}
		}
	})
}

// send sends the next message to a room, every other one to be confirmed, until it is
// stored: NATS may be away.
func (tr *traffic) send(room string) {
	tr.mu.Lock()
	n := len(tr.sent[room]) + 1
	tr.mu.Unlock()
	text := fmt.Sprint("fleet ", n)
	one := sent{confirmed: n%2 == 0}
	options := []fleet.SendOption{fleet.MessageID(text)}
	if one.confirmed {
		options = append(options, fleet.ConfirmedBy(fleet.Match{Type: "message", Fields: map[string]any{"content": text}}))
	}
	for {
		once, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		err := tr.fleet.Send(once, room, liveroom.CommentCommand{RoomID: liveroom.Str(room), FromName: "fleet", Content: text}, options...)
		cancel()
		one.attempts++
		tr.mu.Lock()
		if err == nil {
			tr.sent[room] = append(tr.sent[room], one)
			tr.total++
			tr.mu.Unlock()
			return
		}
		tr.refused++
		tr.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
}

// An outbound is what has come of what was sent to the rooms.
type outbound struct {
	plain, confirmed         int // messages sent
	lostPlain, lostConfirmed int
	again                    map[string]int // written once more, by room
	lost                     map[string]int // of the plain ones, by room
	disorder                 int            // first arrivals behind a later one of the room
}

// countOutbound compares what was sent with what the backend has got.
func (tr *traffic) countOutbound(events []wstest.Event) outbound {
	out := outbound{again: map[string]int{}, lost: map[string]int{}}
	rooms, last := map[int]string{}, map[string]int{}
	got := map[string]map[int]bool{}
	for _, e := range events {
		switch e.Kind {
		case wstest.EventOpen:
			rooms[e.Conn] = e.Request.URL.Query().Get("room")
		case wstest.EventMessage:
			_, rest, ok := strings.Cut(e.Message.Text(), `"content":"`)
			if !ok {
				continue
			}
			text, _, _ := strings.Cut(rest, `"`)
			n, ok := number(text, "fleet")
			if !ok {
				continue
			}
			room := rooms[e.Conn]
			if got[room] == nil {
				got[room] = map[int]bool{}
			}
			switch {
			case got[room][n]:
				out.again[room]++
			case n < last[room]:
				out.disorder++
			}
			got[room][n] = true
			last[room] = max(last[room], n)
		}
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for room, list := range tr.sent {
		for i, one := range list {
			missing := !got[room][i+1]
			switch {
			case one.confirmed:
				out.confirmed++
				if missing {
					out.lostConfirmed++
				}
			default:
				out.plain++
				if missing {
					out.lostPlain++
					out.lost[room]++
				}
			}
		}
	}
	return out
}
