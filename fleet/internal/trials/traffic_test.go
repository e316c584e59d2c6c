package trials_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// traffic numbers what is said in every room, in both directions, and checks what arrives.
type traffic struct {
	rooms   []string
	backend *liveroomtest.Backend
	fleet   *fleet.Fleet

	stop    context.CancelFunc // of talking
	talking sync.WaitGroup
	end     context.CancelFunc // of handling
	ending  sync.WaitGroup

	mu      sync.Mutex
	said    map[string]int // by visitors, the last number in each room
	in      counted        // of that, what handlers got
	fence   map[string]uint64
	fences  int            // times that a fence went back in the stream
	confirm map[string]int // sent to rooms, to be confirmed: the last number
	plain   map[string]int // sent without
	failed  int            // Sends that returned an error
}

// counted is what has arrived of numbered messages.
type counted struct {
	last       map[string]int
	got        map[string]map[int]int // how often, by room and number
	duplicates int
	disorder   int // first arrivals behind a later number
}

func newCounted() counted { return counted{last: map[string]int{}, got: map[string]map[int]int{}} }

func (c *counted) arrives(room string, n int) {
	if c.got[room] == nil {
		c.got[room] = map[int]int{}
	}
	c.got[room][n]++
	switch {
	case c.got[room][n] > 1:
		c.duplicates++
	case n < c.last[room]:
		c.disorder++
	}
	c.last[room] = max(n, c.last[room])
}

func (c *counted) total() (n int) {
	for _, numbers := range c.got {
		n += len(numbers)
	}
	return n
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

func (tr *traffic) start(t *testing.T) {
	t.Helper()
	tr.said, tr.confirm, tr.plain = map[string]int{}, map[string]int{}, map[string]int{}
	tr.in, tr.fence = newCounted(), map[string]uint64{}
	handling, end := context.WithCancel(context.Background())
	tr.end = end
	h, err := tr.fleet.NewHandlers(fleet.HandlersConfig{Group: "checker", FromStart: true})
	require.NoError(t, err)
	h.OnMessage(func(_ context.Context, m fleet.Message) error {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if m.Fence < tr.fence[m.Room] && m.Attempt == 1 {
			tr.fences++
		}
		tr.fence[m.Room] = max(m.Fence, tr.fence[m.Room])
		return nil
	})
	seen := map[uint64]bool{}
	fleet.On(h, "message", func(_ context.Context, m fleet.Message, c liveroom.Comment) error {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if n, ok := number(string(c.Content), "visitor"); ok && !seen[m.Seq] {
			seen[m.Seq] = true // a handler may get it again; here it is about the stream
			tr.in.arrives(m.Room, n)
		}
		return nil
	})
	tr.ending.Go(func() { _ = h.Run(handling) })

	talking, stop := context.WithCancel(context.Background())
	tr.stop = stop
	tr.every(talking, 5*time.Millisecond, func() {
		room := tr.rooms[rand.IntN(len(tr.rooms))]
		tr.mu.Lock()
		tr.said[room]++
		n := tr.said[room]
		tr.mu.Unlock()
		tr.backend.Say(room, "visitor", fmt.Sprint("visitor ", n))
	})
	tr.every(talking, 20*time.Millisecond, func() { tr.send(talking, tr.confirm, "confirmed", true) })
	tr.every(talking, 20*time.Millisecond, func() { tr.send(talking, tr.plain, "plain", false) })
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

// send sends the next message to some room, until it is stored: NATS may be away.
func (tr *traffic) send(ctx context.Context, numbers map[string]int, kind string, confirmed bool) {
	room := tr.rooms[rand.IntN(len(tr.rooms))]
	tr.mu.Lock()
	n := numbers[room] + 1
	tr.mu.Unlock()
	text := fmt.Sprint(kind, " ", n)
	options := []fleet.SendOption{fleet.WithID(text)}
	if confirmed {
		options = append(options, fleet.ConfirmedBy(fleet.Match{Type: "message", Fields: map[string]any{"content": text}}))
	}
	for {
		once, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		err := tr.fleet.Send(once, room, liveroom.CommentCommand{RoomID: liveroom.Str(room), FromName: "fleet", Content: text}, options...)
		cancel()
		if err == nil {
			break
		}
		tr.mu.Lock()
		tr.failed++
		tr.mu.Unlock()
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			if tr.failed > 1000 {
				return
			}
		}
	}
	tr.mu.Lock()
	numbers[room] = n
	tr.mu.Unlock()
}

// outbound is what the backend has got of one kind, and how much of it is missing.
func (tr *traffic) outbound(events []wstest.Event, kind string, rooms map[int]string, numbers map[string]int) (c counted, lost int) {
	c = newCounted()
	for _, e := range events {
		if e.Kind != wstest.EventMessage {
			continue
		}
		_, rest, ok := strings.Cut(e.Message.Text(), `"content":"`)
		if !ok {
			continue
		}
		text, _, _ := strings.Cut(rest, `"`)
		if n, ok := number(text, kind); ok {
			c.arrives(rooms[e.Conn], n)
		}
	}
	for room, last := range numbers {
		for n := 1; n <= last; n++ {
			if c.got[room][n] == 0 {
				lost++
			}
		}
	}
	return c, lost
}
