//go:build unix

package doctor

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/freeport"
)

// backends are servers of examples/backends, and the options that its programs need.
var backends = []struct {
	folder, needs, ready string   // ready ends the line that the server prints when it listens
	command              []string // {addr} and {dir} are replaced
	path, login          string
	options              []string
}{
	{
		folder: "janus", needs: "janus", ready: "WebSockets thread started", command: []string{"sh", "janus.sh", "{dir}"},
		options: []string{`wechatws.WithSubprotocols("janus-protocol")`, `wechatws.WithTypeField("janus")`, `wechatws.WithoutHeartbeat()`},
	},
	{
		folder: "mqtt", needs: "mosquitto", ready: "running", command: []string{"sh", "mosquitto.sh", "{dir}"},
		options: []string{`wechatws.WithSubprotocols("mqtt")`},
	},
	{
		folder: "actioncable", needs: "puma", ready: "Use Ctrl-C to stop", command: []string{"puma", "-e", "production", "-b", "tcp://{addr}", "-t", "0:8", "config.ru"},
		path: "/cable?user=bot", options: []string{`wechatws.WithSubprotocols("actioncable-v1-json")`, `wechatws.WithTypeField("type")`},
	},
	{
		folder: "graphqlws", needs: "node", ready: "listening", command: []string{"node", "server.mjs", "{dir}/events.json"},
		path: "/graphql", login: `{"type":"connection_init","payload":{"token":"secret"}}`,
		options: []string{`wechatws.WithSubprotocols("graphql-transport-ws")`, `wechatws.WithTypeField("type")`},
	},
	{
		folder: "satori", needs: "node", ready: "listening", command: []string{"node", "server.cjs"},
		path: "/satori/v1/events", login: `{"op":3,"body":{"token":"secret"}}`,
		options: []string{`wechatws.WithTypeField("op")`, "Message: wechatws.Text(`{\"op\":1}`)"},
	},
	{
		folder: "peerjs", needs: "node", ready: "listening", command: []string{"node", "server.mjs"},
		path:    "/peerjs?key=peerjs&id=doctor&token=abcdefgh",
		options: []string{`wechatws.WithTypeField("type")`, "Message: wechatws.Text(`{\"type\":\"HEARTBEAT\"}`)"},
	},
}

func TestBackends(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute of real time")
	}
	for _, b := range backends {
		t.Run(b.folder, func(t *testing.T) {
			t.Parallel()
			addr := start(t, filepath.Join("../../../../examples/backends", b.folder), b.ready, b.needs, b.command)
			target := Target{URL: "ws://" + addr + b.path, Silence: 4 * time.Second, MaxMessage: 4 << 10}
			if b.login != "" {
				target.Login = []byte(b.login)
			}
			r := examine(t, target)
			assert.Empty(t, r.Failed())
			for _, o := range b.options {
				assert.Contains(t, r.End.Code, o)
			}
			if t.Failed() {
				t.Log("\n" + written(t, r))
			}
		})
	}
}

// start starts a server in its folder, and returns its address when it is ready. The test is skipped
// if the machine does not have the server: the tests in its folder install what npm has.
func start(t *testing.T, folder, ready, needs string, command []string) (addr string) {
	t.Helper()
	if _, err := exec.LookPath(needs); err != nil {
		t.Skip(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); needs == "node" && err != nil {
		t.Skip(err)
	}
	addr, err := freeport.Addr("127.0.0.1")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)

	fill := strings.NewReplacer("{addr}", addr, "{dir}", t.TempDir())
	var args []string
	for _, arg := range command[1:] {
		args = append(args, fill.Replace(arg))
	}
	c := exec.Command(command[0], args...)
	c.Dir = folder
	c.Env = append(os.Environ(), "HOST=127.0.0.1", "PORT="+port)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	_, err = c.StdinPipe() // it ends at the end of its input
	require.NoError(t, err)
	out, in, err := os.Pipe()
	require.NoError(t, err)
	c.Stdout, c.Stderr = in, in
	require.NoError(t, c.Start())
	require.NoError(t, in.Close())
	isReady, ended := make(chan bool), make(chan struct{})
	go func() {
		defer close(ended)
		lines, told := bufio.NewScanner(out), false
		for lines.Scan() {
			if !told && strings.HasSuffix(lines.Text(), ready) {
				told = true
				isReady <- true
			}
		}
		if !told {
			isReady <- false
		}
	}()
	ok := <-isReady
	t.Cleanup(func() {
		assert.NoError(t, syscall.Kill(-c.Process.Pid, syscall.SIGKILL))
		_ = c.Wait() // it was killed
		<-ended
		assert.NoError(t, out.Close())
	})
	require.True(t, ok, "%s has ended before it was ready", command[0])
	return addr
}
