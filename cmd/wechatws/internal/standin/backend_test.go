package standin

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

func TestLinesOfJSON(t *testing.T) {
	b, out := start(t, Config{Kind: Echo})
	c, _, err := websocket.Dial(limited(t), b.Server().URL()+"/live?token=s3cret", &websocket.DialOptions{Subprotocols: []string{"v1", "v2"}})
	require.NoError(t, err)
	write(t, c, `{"a":1}`)
	assert.JSONEq(t, `{"a":1}`, read(t, c))
	write(t, c, "\x1b[2J")
	read(t, c)
	require.NoError(t, c.Write(limited(t), websocket.MessageBinary, []byte{1, 2}))
	read(t, c)
	require.NoError(t, c.Close(4000, "bye"))
	b.Close()

	escape := "\x1b[2J"
	lines := out.events(t)
	require.Len(t, lines, 6)
	assert.Equal(t, Line{Event: "handshake", Path: "/live", Subprotocols: []string{"v1", "v2"}}, lines[0])
	assert.Equal(t, Line{Event: "open", Connection: 1}, lines[1])
	assert.JSONEq(t, `{"a":1}`, string(lines[2].Data))
	assert.Equal(t, &escape, lines[3].Raw)
	assert.Equal(t, []byte{1, 2}, lines[4].Binary)
	assert.Equal(t, Line{Event: "closed", Connection: 1, Code: 4000, Reason: "bye"}, lines[5])
	assert.NotContains(t, out.String(), "\x1b")
	assert.NotContains(t, out.String(), "s3cret")
}

func TestLinesOfTextAreSafeAndShort(t *testing.T) {
	out := &output{}
	l := &Log{Out: out}
	l.Write(Line{Event: "message", Connection: 3, Text: "\x1b[2J" + strings.Repeat("好", 3000)})
	l.Write(Line{Event: "closed", Connection: 3, Code: 1000, Reason: "a\nb"})
	assert.Contains(t, out.String(), `#3 message \x1b[2J好`)
	assert.Contains(t, out.String(), "好…\n")
	assert.Contains(t, out.String(), `#3 closed 1000 a\nb`)
	assert.Less(t, len([]rune(out.String())), 2*maxText)
	assert.Equal(t, 2, strings.Count(out.String(), "\n"))
}

func TestFaults(t *testing.T) {
	b, _ := start(t, Config{Kind: Silent})
	require.NoError(t, b.Do("send  hello there "))
	c := dial(t, b)
	for _, text := range []string{"one two", "three"} {
		require.NoError(t, b.Do("send "+text))
		assert.Equal(t, text, read(t, c))
	}
	require.NoError(t, b.Do("close 4000 moved away"))
	_, _, err := c.Read(limited(t))
	var frame websocket.CloseError
	require.ErrorAs(t, err, &frame)
	assert.Equal(t, websocket.CloseError{Code: 4000, Reason: "moved away"}, frame)

	c = dial(t, b)
	require.NoError(t, b.Key('c'))
	_, _, err = c.Read(limited(t))
	require.Error(t, err)
	assert.Equal(t, websocket.StatusCode(-1), websocket.CloseStatus(err))

	require.NoError(t, b.Do("refuse 429 1 7"))
	_, resp, err := websocket.Dial(limited(t), b.Server().URL(), nil)
	require.Error(t, err)
	assert.Equal(t, 429, resp.StatusCode)
	assert.Equal(t, "7", resp.Header.Get("Retry-After"))
	dial(t, b)

	require.NoError(t, b.Do("stop"))
	_, err = net.Dial("tcp", b.Server().Addr())
	require.Error(t, err)
	require.NoError(t, b.Do("stop on"))
	require.NoError(t, b.Do("stop off"))
	dial(t, b)
}

// A fault that stays is that of new connections too.
func TestFaultsThatStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, out := wstest.NewNetwork(), &output{}
		b, err := Start(Config{Kind: Silent, Addr: "server.test:80", network: network, Log: &Log{Out: out}})
		require.NoError(t, err)
		defer b.Close()
		client := &http.Client{Transport: &http.Transport{DialContext: network.DialContext, DisableKeepAlives: true}}
		open := func() *websocket.Conn {
			c, _, err := websocket.Dial(t.Context(), b.Server().URL(), &websocket.DialOptions{HTTPClient: client})
			require.NoError(t, err)
			synctest.Wait()
			return c
		}
		sent := func(text string, conns ...*websocket.Conn) {
			for _, c := range conns {
				write(t, c, text)
			}
			synctest.Wait()
		}
		old := open()
		defer old.CloseNow()
		require.NoError(t, b.Do("blackhole"))
		late := open()
		defer late.CloseNow()
		sent("lost", old, late)
		assert.Contains(t, out.String(), "command blackhole on\n")
		require.NoError(t, b.Do("blackhole off"))
		sent("found", old, late)
		assert.NotContains(t, out.String(), "lost")
		assert.Equal(t, 2, strings.Count(out.String(), "message found"))

		require.NoError(t, b.Do("deaf on"))
		sent("unread", old, open())
		assert.NotContains(t, out.String(), "unread")
		require.NoError(t, b.Do("deaf off"))
		synctest.Wait()
		assert.Equal(t, 2, strings.Count(out.String(), "message unread"))
	})
}

func TestRoom(t *testing.T) {
	b, _ := start(t, Config{Kind: LiveRoom, Quirks: liveroomtest.Quirks{NumbersAsStrings: true}})
	c := dial(t, b)
	assert.Contains(t, read(t, c), "init")
	write(t, c, `{"msg_type":"join","room_id":"7","from_name":"Ann"}`)
	assert.Contains(t, read(t, c), `"online_num":"1"`)
	require.NoError(t, b.Do("say 7 Bob good morning"))
	assert.Contains(t, read(t, c), "good morning")
	require.NoError(t, b.Do("kick 7 Ann"))
	_, _, err := c.Read(limited(t))
	require.Error(t, err)
	assert.ErrorContains(t, b.Do("kick 7 Nil"), "no member")
}

func TestWrongCommands(t *testing.T) {
	b, _ := start(t, Config{Kind: Silent})
	for line, want := range map[string]string{
		"":                  "unknown command",
		"cuts":              `unknown command "cuts"; help lists the commands`,
		"freeze":            "freeze is for a live room only",
		"close 12":          `close: the close code "12" must be a number from 1000 to 4999; usage: close [CODE [REASON]]`,
		"close 1006":        "cannot be sent",
		"refuse 503 100000": "must be a number from 1 to 1000",
		"refuse 503 1 2 3":  `"3" is too much`,
		"blackhole maybe":   `"maybe" must be on or off`,
		"send":              "a text is needed",
	} {
		assert.ErrorContains(t, b.Do(line), want, line)
	}
	assert.ErrorContains(t, b.Key('Z'), `no command has the key 'Z'`)
}

func TestKeysAndNamesAreUnique(t *testing.T) {
	var keys, names []string
	for _, c := range commands {
		names = append(names, c.name)
		if c.key != 0 {
			keys = append(keys, string(c.key))
		}
	}
	slices.Sort(keys)
	slices.Sort(names)
	assert.Equal(t, slices.Compact(slices.Clone(keys)), keys)
	assert.Equal(t, slices.Compact(slices.Clone(names)), names)
	assert.NotContains(t, keys, "q")
}

func TestAnAddressThatIsTaken(t *testing.T) {
	first, _ := start(t, Config{Kind: Silent})
	_, err := Start(Config{Kind: LiveRoom, Addr: first.Server().Addr(), Log: &Log{Out: &output{}}})
	require.ErrorContains(t, err, "cannot listen")
}

func TestInput(t *testing.T) {
	b, out := start(t, Config{Kind: Silent})
	assert.False(t, b.Lines(strings.NewReader("help\n\ncut\nnonsense\n")))
	assert.True(t, b.Lines(strings.NewReader("quit\nreset\n")))
	assert.False(t, b.Keys(strings.NewReader("?c\rZ")))
	assert.True(t, b.Keys(strings.NewReader("q")))
	assert.True(t, b.Keys(strings.NewReader("\x03")))
	assert.Equal(t, 2, strings.Count(out.String(), `"event":"command"`))
	assert.Equal(t, 2, strings.Count(out.String(), `"event":"error"`))
	assert.NotContains(t, out.String(), `"reset"`)
}
