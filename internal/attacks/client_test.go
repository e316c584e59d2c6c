//go:build linux

package attacks

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

// taskVar is the environment variable with the task of a process that is a client, as JSON.
const taskVar = "WECHATWS_ATTACKS_CLIENT"

// A task is what a client's process is started with.
type task struct {
	URL      string
	Compress bool // with WithCompression
	Room     bool // with a liveroom.Room
	Any      bool // decode messages of type "any" as any
	Block    bool // the callback of messages of type "block" does not return before the end
}

// cost is what the process of a client has used so far.
type cost struct {
	Held int64         // bytes of live objects
	Peak int64         // bytes of memory of the process at most
	CPU  time.Duration // of the processor
}

func TestMain(m *testing.M) {
	if data, ok := os.LookupEnv(taskVar); ok {
		var t task
		if err := json.Unmarshal([]byte(data), &t); err != nil {
			panic(err)
		}
		if err := t.play(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// play runs the client with default limits, and only the waits shortened. It prints the types of the
// messages "mark" and "probe" as they arrive, and for each line of its input what the client has
// cost.
func (t task) play() error {
	options := []wechatws.Option{
		wechatws.WithProxy(nil),
		wechatws.WithTiers(wechatws.Tier{Delay: 20 * time.Millisecond}),
		wechatws.WithDialTimeout(time.Second),
		wechatws.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))),
	}
	if t.Compress {
		options = append(options, wechatws.WithCompression())
	}
	c, err := wechatws.New(t.URL, options...)
	if err != nil {
		return err
	}
	if t.Room {
		_, err := liveroom.New(c, liveroom.Identity{RoomID: liveroom.Num(1), UserID: liveroom.Num(2), Name: "bot"},
			liveroom.WithJoinTimeout(time.Second))
		if err != nil {
			return err
		}
	}
	var output sync.Mutex
	say := func(line any) {
		output.Lock()
		defer output.Unlock()
		fmt.Println(line)
	}
	failures := 0
	c.OnError(func(_ context.Context, err error) { failures += len(err.Error()) })
	for _, name := range []string{"mark", "probe"} {
		wechatws.On(c, name, func(context.Context, wechatws.Message) { say(name) })
	}
	if t.Any {
		wechatws.On(c, "any", func(context.Context, any) {})
	}
	unblock := make(chan struct{})
	wechatws.On(c, "block", func(context.Context, wechatws.Message) {
		if t.Block {
			<-unblock
		}
	})
	go func() { _ = c.Run(context.Background()) }()
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		if input.Text() == "unblock" {
			close(unblock)
			continue
		}
		now, err := used()
		if err != nil {
			return err
		}
		text, err := json.Marshal(now)
		if err != nil {
			return err
		}
		say(string(text))
	}
	return c.CloseNow()
}

// used returns what this process has used. The processor time is that before the collections.
func used() (c cost, err error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return c, err
	}
	c.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	runtime.GC()
	runtime.GC() // pools are emptied by the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c.Held = int64(m.HeapAlloc)
	status, err := os.ReadFile("/proc/self/status") // ru_maxrss is the parent's until it is exceeded
	if err != nil {
		return c, err
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(peak)[0], 10, 64)
	c.Peak = kib << 10
	return c, err
}

// A client is the process of one.
type client struct {
	t     *testing.T
	cmd   *exec.Cmd
	input io.WriteCloser
	lines chan string
}

func start(t *testing.T, of task) *client {
	t.Helper()
	data, err := json.Marshal(of)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	c := &client{t: t, cmd: exec.Command(self), lines: make(chan string, 16)}
	c.cmd.Env = append(os.Environ(), taskVar+"="+string(data), "GOMAXPROCS=2", "GOGC=100")
	c.cmd.Stderr = os.Stderr
	c.input, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	output, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(output); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		c.input.Close()
		for range c.lines {
		}
		require.NoError(t, c.cmd.Wait())
	})
	return c
}

func (c *client) say(line string) {
	c.t.Helper()
	_, err := fmt.Fprintln(c.input, line)
	require.NoError(c.t, err)
}

// next returns the next line of the client that keep accepts.
func (c *client) next(what string, keep func(string) bool) string {
	c.t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case line, ok := <-c.lines:
			require.True(c.t, ok, "the client has ended, and not said: %s", what)
			if keep(line) {
				return line
			}
		case <-late:
			require.Fail(c.t, "nothing from the client for a minute", what)
		}
	}
}

func (c *client) await(line string) {
	c.t.Helper()
	c.next(line, func(s string) bool { return s == line })
}

func (c *client) cost() (now cost) {
	c.t.Helper()
	c.say("cost")
	line := c.next("what it costs", func(s string) bool { return strings.HasPrefix(s, "{") })
	require.NoError(c.t, json.Unmarshal([]byte(line), &now))
	return now
}
