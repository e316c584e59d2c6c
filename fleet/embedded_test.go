package fleet_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// With a Dir all is there after a restart: rooms, messages to them, and messages from them.
func TestEmbeddedKeepsItsDir(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "made", "for it")
	open := func() {
		f, err := fleet.Open(w.ctx(), fleet.WithDir(dir))
		require.NoError(t, err)
		t.Cleanup(f.Close)
		w.fleet = f
	}
	open()
	assert.Empty(t, w.fleet.URL(), "it does not listen")
	w.add(2)
	a := w.worker("a")
	conn := w.conn("r0")
	require.NoError(t, conn.Send(`{"msg_type":"kept"}`))
	require.Eventually(t, func() bool { return a.Stats().In == 1 }, patience, tick)
	a.stop()
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "kept, too"))
	w.fleet.Close()

	open()
	list, err := w.fleet.Control().List(w.ctx())
	require.NoError(t, err)
	assert.Len(t, list, 2)
	assert.Equal(t, "kept", w.handle("g").next().Type)
	w.worker("b")
	assert.Equal(t, `"kept, too"`, w.receive(w.conn("r0")))
}

// Two servers with one Dir would both hold every room.
func TestADirIsForOneServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made")
	f, err := fleet.Open(t.Context(), fleet.WithDir(dir))
	require.NoError(t, err)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	for _, same := range []string{dir, filepath.Join(dir, "."), link} {
		_, err := fleet.Open(t.Context(), fleet.WithDir(same))
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, same)
		assert.Equal(t, "fleet.WithDir", wrong.Option)
		assert.Equal(t, strconv.Quote(same), wrong.Value)
		assert.ErrorContains(t, err, "another Fleet, of this process or another, has it open")
	}
	require.NoError(t, f.Control().Add(t.Context(), fleet.Spec{ID: "r", Endpoint: "ws://a"}), "the first is not disturbed")
	f.Close()
	f, err = fleet.Open(t.Context(), fleet.WithDir(dir))
	require.NoError(t, err)
	f.Close()
}

// A Dir that cannot be used is named.
func TestADirThatIsAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := fleet.Open(t.Context(), fleet.WithDir(dir))
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, dir)
		assert.Equal(t, "fleet.WithDir", wrong.Option)
		assert.Equal(t, strconv.Quote(dir), wrong.Value)
	}
}

// Without one nothing is left.
func TestEmbeddedLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f, err := fleet.Open(t.Context())
	require.NoError(t, err)
	made, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	require.Len(t, made, 1)
	f.Close()
	f.Close()
	made, err = os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, made)

	for _, listen := range []string{"4222", "127.0.0.1:x"} {
		_, err := fleet.Open(t.Context(), fleet.WithListen(listen, ""))
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, listen)
		assert.Equal(t, "fleet.WithListen", wrong.Option)
		assert.Equal(t, strconv.Quote(listen), wrong.Value)
	}
	made, err = os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, made)
}

// Others reach it when it listens, and hold its rooms.
func TestEmbeddedListens(t *testing.T) {
	w := newWorld(t)
	server, err := fleet.Open(w.ctx(), fleet.WithListen("127.0.0.1:0", ""))
	require.NoError(t, err)
	defer server.Close()
	f, err := fleet.Open(w.ctx(), fleet.WithNATS(server.URL()))
	require.NoError(t, err)
	defer f.Close()
	assert.Empty(t, f.URL(), "this one has none")
	w.fleet = f
	a := w.worker("a")
	require.NoError(t, server.Control().Add(w.ctx(), w.spec("r")))
	w.conn("r")
	a.stop()
}
