package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bytedance/sonic"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRecipe(t *testing.T) {
	recipetest.Documented(t, "sonic", recipetest.Virtual(t, run))
}

// On the machines that most servers are it is sonic indeed.
func TestItIsSonic(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("sonic is encoding/json on " + runtime.GOARCH)
	}
	require.Equal(t, sonic.UseSonicJSON, sonic.APIKind, "this version of sonic does not know %s", runtime.Version())
}

func TestTheSameBytesAsEncodingJSON(t *testing.T) {
	for _, v := range []any{
		Comment{"message", "Ming", `<b>"tea" & cake</b>` + "\u2028\x00\x7f", 1 << 62},
		map[string]any{"z": 1.5, "a": nil, "m": []int{}},
		json.RawMessage(` { "a" : 1 } `),
	} {
		want, err := json.Marshal(v)
		require.NoError(t, err)
		got, err := codec.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
}

// The contract of a Codec: what was decoded does not change with the buffer that it
// was decoded from, which the client uses again.
func TestNothingOfTheBufferIsKept(t *testing.T) {
	data := []byte(`{"msg_type":"message","from_name":"Ming","raw":{"a":1}}`)
	var v struct {
		Comment
		Raw json.RawMessage `json:"raw"`
	}
	require.NoError(t, codec.Unmarshal(data, &v))
	for i := range data {
		data[i] = 'x'
	}
	require.Equal(t, "Ming", v.From)
	require.Equal(t, `{"a":1}`, string(v.Raw))
}

// A message that does not fit is the error of that message alone.
func TestAMessageThatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
		defer server.Close()
		c, err := wechatws.New(server.URL(), wechatws.WithCodec(codec), wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil))
		require.NoError(t, err)
		var told recipetest.Buffer
		c.OnError(func(_ context.Context, err error) {
			var de *wechatws.DecodeError
			assert.ErrorAs(t, err, &de)
			fmt.Fprintln(&told, "unfit:", de.Type)
		})
		wechatws.On(c, "message", func(_ context.Context, c Comment) { fmt.Fprintln(&told, "heard:", c.Content) })
		require.NoError(t, c.Connect(t.Context()))
		defer c.Close(wechatws.StatusNormalClosure, "")
		conn, err := server.NextConn(t.Context())
		require.NoError(t, err)
		require.NoError(t, conn.Send(`{"msg_type":"message","gifts":"many"}`))
		require.NoError(t, conn.Send(`{"msg_type":"message","content":"`+strings.Repeat("茶", 3)+`"}`))
		synctest.Wait()
		require.Equal(t, "unfit: message\nheard: 茶茶茶\n", told.String())
	})
}
