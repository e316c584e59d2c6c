package trials_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// group is what the handlers have in common: one in the test's process, others in
// processes of their own.
const group = "checker"

// A handling is one call of a callback.
type handling struct {
	room string
	seq  uint64
	at   int64 // unix ns
}

// handled is what all handlers of the group have done.
type handled struct {
	mu   sync.Mutex
	list []handling
}

func (h *handled) add(one handling) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, one)
}

// count counts messages that were handled, calls that were not the first for their
// message, and calls that were the first for theirs and came after one for a later message of the
// room.
func (h *handled) count() (messages map[uint64]bool, again, disorder int) {
	h.mu.Lock()
	list := slices.Clone(h.list)
	h.mu.Unlock()
	slices.SortStableFunc(list, func(a, b handling) int { return cmp.Compare(a.at, b.at) })
	messages, last := map[uint64]bool{}, map[string]uint64{}
	for _, one := range list {
		late := one.seq < last[one.room]
		switch {
		case messages[one.seq]:
			again++
		case late:
			disorder++
		}
		messages[one.seq] = true
		last[one.room] = max(last[one.room], one.seq)
	}
	return messages, again, disorder
}

// handle runs a handler that reports each message before it acknowledges it.
func handle(ctx context.Context, f *fleet.Fleet, tell func(handling)) error {
	h, err := f.NewHandlers(group, fleet.WithFromStart())
	if err != nil {
		return err
	}
	h.OnMessage(func(_ context.Context, m fleet.Message) error {
		tell(handling{m.Room, m.Seq, time.Now().UnixNano()})
		return nil
	})
	return h.Run(ctx)
}

// startHandler starts a process that handles, too.
func startHandler(t *testing.T, c *cluster, h *handled) *process {
	t.Helper()
	lines, out := io.Pipe()
	p := start(t, out, "handler", "NATS="+c.url())
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		for s := bufio.NewScanner(lines); s.Scan(); {
			var one handling
			if _, err := fmt.Sscan(s.Text(), &one.room, &one.seq, &one.at); err == nil {
				h.add(one)
			}
		}
	}()
	t.Cleanup(func() {
		p.kill()
		out.Close()
		<-reading
	})
	return p
}

func runHandler() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	f, err := fleet.Open(ctx, fleet.WithNATS(os.Getenv("NATS")), fleet.WithReplicas(nodes))
	if err != nil {
		return err
	}
	defer f.Close()
	return handle(ctx, f, func(one handling) {
		// In one write, so that a line is there or is not.
		_, _ = os.Stdout.WriteString(fmt.Sprintln(one.room, one.seq, one.at))
		time.Sleep(30 * time.Millisecond) // so that it is killed in the middle of something
	})
}

// startHandling has the test's own process handle, until the test ends.
func startHandling(t *testing.T, f *fleet.Fleet, h *handled) {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- handle(ctx, f, h.add) }()
	t.Cleanup(func() {
		end()
		require.NoError(t, <-ended)
	})
}

// missing returns the messages of the stream that no handler has handled.
func missing(published []published, messages map[uint64]bool) []uint64 {
	rest := map[uint64]bool{}
	for _, m := range published {
		if !strings.HasPrefix(m.kind, "_") && !messages[m.seq] {
			rest[m.seq] = true
		}
	}
	return slices.Sorted(maps.Keys(rest))
}
