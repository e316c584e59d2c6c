package trials

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/freeport"
	"github.com/wechatws/wechatws/liveroom"
)

// A gatewayWorker is a live room on a real GatewayWorker, which package liveroomtest imitates.
type gatewayWorker struct {
	t   *testing.T
	dir string // has a file for each room, with its comments
	url string
	env []string
}

// newGatewayWorker starts one. Its packages are not on every machine:
//
//	composer require workerman/gateway-worker
//	GATEWAYWORKER=$PWD/vendor go test -v -run GatewayWorker .
func newGatewayWorker(t *testing.T) *gatewayWorker {
	vendor := os.Getenv("GATEWAYWORKER")
	if vendor == "" {
		t.Skip("GATEWAYWORKER is not set: the vendor folder of a composer require workerman/gateway-worker")
	}
	gateway, err := freeport.Addr("127.0.0.1")
	require.NoError(t, err)
	register, err := freeport.Addr("127.0.0.1")
	require.NoError(t, err)
	g := &gatewayWorker{t: t, dir: t.TempDir(), url: "ws://" + gateway}
	g.env = append(os.Environ(), "VENDOR="+vendor, "DIR="+g.dir, "GATEWAY="+gateway, "REGISTER="+register, "PORTS=24000")
	g.command("start", "-d")
	t.Cleanup(func() { g.command("stop") })
	for { // it has started its processes, and does not say when they listen
		c, err := net.Dial("tcp", gateway)
		if err == nil {
			c.Close()
			return g
		}
		require.NoError(t, t.Context().Err())
		time.Sleep(10 * time.Millisecond)
	}
}

func (g *gatewayWorker) command(arguments ...string) {
	start, err := filepath.Abs("testdata/gatewayworker/start.php")
	require.NoError(g.t, err)
	c := exec.Command("php", append([]string{start}, arguments...)...)
	c.Env = g.env
	output, err := c.CombinedOutput()
	require.NoError(g.t, err, "%s", output)
}

// times returns how often a comment is in a room.
func (g *gatewayWorker) times(room, comment string) int {
	b, err := os.ReadFile(filepath.Join(g.dir, room))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(g.t, err)
	}
	return strings.Count(string(b), `"content":"`+comment+`"`)
}

// Comments around faults of a real server: all of those that SayConfirmed returns nil for are in the
// room, once.
func TestCommentsOnAGatewayWorker(t *testing.T) {
	g := newGatewayWorker(t)
	for fault, strike := range map[string]func(*liveroom.Room, int){
		"rejoin":  func(r *liveroom.Room, _ int) { _ = r.Client().Reconnect() },
		"reload":  g.once("reload"),
		"restart": g.once("restart", "-d"),
	} {
		for _, confirmed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, confirmed %v", fault, confirmed), func(t *testing.T) {
				g.comments(t, confirmed, strike)
			})
		}
	}
}

// once returns a function that runs a command for the first room.
func (g *gatewayWorker) once(command ...string) func(*liveroom.Room, int) {
	return func(_ *liveroom.Room, room int) {
		if room == 0 {
			go g.command(command...)
		}
	}
}

func (g *gatewayWorker) comments(t *testing.T, confirmed bool, strike func(*liveroom.Room, int)) {
	const rooms, rounds, waiting = 20, 5, 10
	var refused, missing, twice atomic.Int64
	var all sync.WaitGroup
	for k := range rooms {
		all.Go(func() {
			name := fmt.Sprintf("room-%d", k)
			id := strings.NewReplacer("/", "-", " ", "-", ",", "").Replace(t.Name() + "-" + name)
			client, err := wechatws.New(g.url, wechatws.WithProxy(nil))
			if !assert.NoError(t, err) {
				return
			}
			room, err := liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str(id), Name: name})
			if !assert.NoError(t, err) {
				return
			}
			room.OnRefused(func(context.Context, *liveroom.RefusedError) { refused.Add(1) })
			assert.NoError(t, client.Connect(t.Context()))
			assert.NoError(t, room.Joined(t.Context()))
			for round := range rounds {
				strike(room, k)
				var saying sync.WaitGroup
				for n := range waiting {
					text := fmt.Sprintf("comment %d.%d", round, n)
					if !confirmed {
						assert.NoError(t, room.Say(t.Context(), text))
						continue
					}
					saying.Go(func() { assert.NoError(t, room.SayConfirmed(t.Context(), text)) })
				}
				saying.Wait()
				// The server has handled those before it then.
				assert.NoError(t, room.SayConfirmed(t.Context(), fmt.Sprintf("end of %d", round)))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			assert.NoError(t, client.Shutdown(ctx))
			for round := range rounds {
				for n := range waiting {
					switch g.times(id, fmt.Sprintf("comment %d.%d", round, n)) {
					case 0:
						missing.Add(1)
					case 1:
					default:
						twice.Add(1)
					}
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d comments: refused %d, not in the room %d, twice %d", rooms*rounds*waiting, refused.Load(), missing.Load(), twice.Load())
	if confirmed {
		require.Zero(t, refused.Load()+missing.Load()+twice.Load())
	}
}
