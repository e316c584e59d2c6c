package wechatws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A rpc is a message of JSON-RPC.
type rpc struct {
	ID     any       `json:"id,omitempty"`
	Method string    `json:"method,omitempty"`
	Result string    `json:"result,omitempty"`
	Error  *rpcError `json:"error,omitempty"`
}

type rpcError struct {
	Code int `json:"code"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("code %d", e.Code) }

func (r *rpc) Err() error {
	if r.Error == nil {
		return nil
	}
	return r.Error
}

// answering has the world's server answer each request with its method as the result, and "fail"
// with an error.
func (w *world) answering() {
	w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		var asked struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		if json.Unmarshal(m.Data, &asked) != nil || asked.ID == nil {
			return
		}
		_ = c.Send(`{"id":1,"method":"an event, or a request of the server's own"}`)
		if asked.Method == "fail" {
			_ = c.Send(fmt.Sprintf(`{"id":%s,"error":{"code":-32601}}`, asked.ID))
			return
		}
		_ = c.Send(fmt.Sprintf(`{"id":%s,"result":%q}`, asked.ID, asked.Method))
	})
}

func TestCall(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.answering()
		c := w.client(quiet()...).record()
		var inside rpc
		wechatws.On(c.Client, "go", func(ctx context.Context, _ wechatws.Message) {
			var err error
			inside, err = wechatws.Call[rpc](ctx, c.Client, rpc{Method: "inside"})
			assert.NoError(t, err)
		})
		c.connect()
		for _, v := range []any{
			rpc{Method: "sum"}, rpc{ID: 7, Method: "sum"}, rpc{ID: "7", Method: "sum"}, &rpc{ID: `a"\b`, Method: "sum"},
			wechatws.Text(` { "method":"sum"}`), wechatws.Binary(`{"id":1.50,"method":"sum"}`),
			wechatws.Outbound{Data: []byte(`{"method":"sum"}`)}, json.RawMessage(`{"id":"\u0041","method":"sum"}`),
		} {
			answer, err := wechatws.Call[rpc](t.Context(), c.Client, v)
			require.NoError(t, err)
			assert.Equal(t, "sum", answer.Result)
			w.sleep(0)
			assert.Contains(t, c.texts()[len(c.texts())-1], `"result":"sum"`, "callbacks receive the answer too")
		}
		answer, err := wechatws.Call[*rpc](t.Context(), c.Client, rpc{Method: "fail"})
		var failed *rpcError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, -32601, failed.Code)
		assert.Same(t, failed, answer.Error)

		raw, err := wechatws.Call[wechatws.Message](t.Context(), c.Client, rpc{Method: "fail"})
		require.NoError(t, err)
		assert.NotEmpty(t, raw.Field("id"), "as it arrived")

		require.NoError(t, w.conn().Send(`{"msg_type":"go"}`))
		w.sleep(time.Second)
		assert.Equal(t, "inside", inside.Result, "also in a callback, which keeps the inbox busy")
		c.close()
		_, err = wechatws.Call[rpc](t.Context(), c.Client, rpc{})
		assert.ErrorIs(t, err, wechatws.ErrClosed)
	})
}

// An answer that was taken is no error, although no callback takes it, and one that comes a second
// time is a message like any other.
func TestAnswersOfCallsAreNoErrors(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
		c := w.client(quiet()...).connect()
		for range 1000 {
			_, err := wechatws.Call[map[string]any](t.Context(), c.Client, struct{}{})
			require.NoError(t, err)
		}
		w.sleep(0)
		assert.Empty(t, c.errors())
		require.NoError(t, c.Send(t.Context(), rpc{ID: 5}))
		w.sleep(0)
		require.Len(t, c.errors(), 1)
		assert.ErrorIs(t, c.errors()[0], wechatws.ErrNoType)
		c.close()
	})
}

// The numbers that Call adds are above those with which servers begin, fit into 31 bits, and
// follow each other.
func TestIDsOfCalls(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
		var first []int64
		for range 2 {
			c := w.client(quiet()...).connect()
			type numbered struct {
				ID int64 `json:"id,omitempty"`
			}
			one, err := wechatws.Call[numbered](t.Context(), c.Client, numbered{})
			require.NoError(t, err)
			two, err := wechatws.Call[numbered](t.Context(), c.Client, numbered{})
			require.NoError(t, err)
			assert.Equal(t, one.ID+1, two.ID)
			assert.Greater(t, one.ID, int64(1<<20))
			assert.Less(t, one.ID, int64(1<<31-1000))
			first = append(first, one.ID)
			c.close()
		}
		assert.NotEqual(t, first[0], first[1])
	})
}

// Where the id is, and which ids are the same.
func TestWhereTheIDIs(t *testing.T) {
	tests := map[string]struct {
		path    []string
		sent    string
		answers []string // of which the last one is the answer
		written string   // for which # stands for the number that was added; empty: as sent
	}{
		"a field":             {[]string{"echo"}, `{"echo":"x"}`, []string{`{"id":"x"}`, `{"echo":"x"}`}, ""},
		"a text":              {[]string{"id"}, `{"id":"7"}`, []string{`{"id":7}`, `{"id":"07"}`, `{"id":"7"}`}, ""},
		"a number":            {[]string{"id"}, `{"id":7}`, []string{`{"id":"7"}`, `{"id":7.0}`, `{"id":70}`, `{"id":-7}`, `{"id":[7]}`, `{"id":7}`}, ""},
		"a large number":      {[]string{"id"}, `{"id":9007199254740993}`, []string{`{"id":9007199254740992}`, `{"id":9007199254740993}`}, ""},
		"escapes":             {[]string{"id"}, `{"id":"caf\u00e9\n\"&"}`, []string{`{"id":"café"}`, "{\"id\":\"caf\u00e9\\u000a\\u0022\\u0026\"}"}, ""},
		"an empty text":       {[]string{"id"}, `{"id":""}`, []string{`{"id":null}`, `{}`, `{"id":""}`}, ""},
		"nested":              {[]string{"header", "seq"}, `{"header":{"seq":7}}`, []string{`{"seq":7}`, `{"header":7}`, `{"header":{"seq":7}}`}, ""},
		"an array":            {[]string{"1"}, `[2,"a","Boot",{}]`, []string{`[2,"b"]`, `["a"]`, `{"id":"a"}`, `[3,"a",{}]`}, ""},
		"a number as a name":  {[]string{"1"}, `{"1":"a"}`, []string{`["","b"]`, `{"1":"a"}`}, ""},
		"none":                {[]string{"id"}, `{"a":1}`, []string{`{"a":1}`, `{"id":#}`}, `{"id":#,"a":1}`},
		"an empty object":     {[]string{"echo"}, ` { } `, []string{`{"echo":"#"}`, `{"echo":#}`}, `{"echo":# } `},
		"in a name, no field": {[]string{"id"}, `{"a":{"id":1}}`, []string{`{"id":#}`}, `{"id":#,"a":{"id":1}}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), wechatws.WithRequestID(tt.path...))...).record().connect()
				result := make(chan json.RawMessage, 1)
				go func() {
					answer, err := wechatws.Call[json.RawMessage](t.Context(), c.Client, wechatws.Text(tt.sent))
					assert.NoError(t, err)
					result <- answer
				}()
				conn := w.conn()
				m, err := conn.Receive(t.Context())
				require.NoError(t, err)
				number := regexp.MustCompile(`[0-9]+`).FindString(m.Text())
				if tt.written == "" {
					tt.written = tt.sent
				}
				assert.Equal(t, strings.ReplaceAll(tt.written, "#", number), m.Text())
				for i, answer := range tt.answers {
					w.sleep(0)
					require.Empty(t, result, "before answer %d", i)
					require.NoError(t, conn.Send(strings.ReplaceAll(answer, "#", number)))
				}
				assert.Equal(t, strings.ReplaceAll(tt.answers[len(tt.answers)-1], "#", number), string(<-result))
				w.sleep(0)
				assert.Len(t, c.texts(), len(tt.answers))
				c.close()
			})
		})
	}
}

// What has no id, and can be given none, is not sent.
func TestMessagesWithoutAnID(t *testing.T) {
	tests := []struct {
		path []string
		v    any
		want string
	}{
		{[]string{"id"}, wechatws.Text(`{"id":null}`), `wechatws: Call(wechatws.Text): must have a string or a number as id, at WithRequestID("id")`},
		{[]string{"id"}, wechatws.Text(`{"id":{}}`), `Call(wechatws.Text)`},
		{[]string{"id"}, wechatws.Text(`{"id":true}`), `Call(wechatws.Text)`},
		{[]string{"id"}, wechatws.Text(`[]`), `Call(wechatws.Text)`},
		{[]string{"id"}, wechatws.Text(`{"a":`), `Call(wechatws.Text)`},
		{[]string{"id"}, wechatws.Text(`ping`), `Call(wechatws.Text)`},
		{[]string{"id"}, wechatws.Binary{1}, `Call(wechatws.Binary)`},
		{[]string{"id"}, nil, `Call(<nil>)`},
		{[]string{"id"}, "secret", `Call(string)`},
		{[]string{"header", "seq"}, wechatws.Text(`{"header":{}}`), `at WithRequestID("header", "seq")`},
		{[]string{"1"}, wechatws.Text(`[2]`), `at WithRequestID("1")`},
		{[]string{"id"}, func() {}, `wechatws: cannot encode func()`},
	}
	virtual(t, func(t *testing.T, w *world) {
		for _, tt := range tests {
			c := w.client(append(quiet(), wechatws.WithRequestID(tt.path...))...).connect()
			_, err := wechatws.Call[any](t.Context(), c.Client, tt.v)
			assert.ErrorContains(t, err, tt.want)
			c.flush()
			assert.Empty(t, received(w.conn()))
			c.close()
		}
	})
}

func TestAnIDIsInUseOnce(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		call := func(id any) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := wechatws.Call[any](ctx, c.Client, rpc{ID: id})
			return err
		}
		first := make(chan error, 3)
		for _, id := range []any{7, "7", "s3\ncret"} {
			go func() { first <- call(id) }()
		}
		w.sleep(0)
		assert.EqualError(t, call(7), `wechatws: Call(id 7): another call waits for an answer with this id; give each call its own`)
		assert.EqualError(t, call("7"), `wechatws: Call(id "7"): another call waits for an answer with this id; give each call its own`)
		assert.ErrorContains(t, call("s3\ncret"), `Call(id "s3\ncret")`)
		for range 3 {
			assert.ErrorIs(t, <-first, context.DeadlineExceeded)
		}
		assert.ErrorIs(t, call(7), context.DeadlineExceeded, "it may be used again")
		w.sleep(0)
		assert.Len(t, received(w.conn()), 4)
		c.close()
	})
}

// The errors of Request are those of Call.
func TestCallThatIsNotAnswered(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(1, 1<<20, wechatws.QueueDropOldest))...).connect()
		result := make(chan error, 1)
		call := func(ctx context.Context, method string) {
			_, err := wechatws.Call[rpc](ctx, c.Client, rpc{Method: method})
			result <- err
		}
		go call(t.Context(), "lost")
		w.sleep(time.Second)
		w.conn().Cut(wstest.FIN)
		assert.ErrorIs(t, <-result, wechatws.ErrConnectionLost)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		call(ctx, "given up")
		assert.ErrorIs(t, <-result, context.DeadlineExceeded)
		go call(t.Context(), "dropped")
		w.sleep(0)
		require.NoError(t, c.Send(t.Context(), "x"))
		assert.ErrorIs(t, <-result, wechatws.ErrQueueFull)
		w.sleep(10 * time.Second)
		conn := w.conn()
		assert.Equal(t, []string{`"x"`}, received(conn))
		go call(t.Context(), "does not fit")
		w.sleep(0)
		require.NoError(t, conn.Send(strings.Replace(received(conn)[1], `"does not fit"`, "7", 1)))
		var de *wechatws.DecodeError
		assert.ErrorAs(t, <-result, &de)
		go call(t.Context(), "closed")
		w.sleep(0)
		c.close()
		assert.ErrorIs(t, <-result, wechatws.ErrClosed)
	})
}

// A call in a callback whose answer cannot be read fails.
func TestCallInACallbackWhenTheInboxIsFull(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		result := make(chan error, 1)
		wechatws.On(c.Client, "go", func(ctx context.Context, _ wechatws.Message) {
			_, err := wechatws.Call[any](ctx, c.Client, rpc{})
			result <- err
		})
		c.connect()
		conn := w.conn()
		for range 3000 {
			require.NoError(t, conn.Send(`{"msg_type":"go"}`))
		}
		assert.ErrorIs(t, <-result, wechatws.ErrInboxFull)
		go func() {
			for range result {
			}
		}()
		require.NoError(t, c.CloseNow())
		<-c.Done()
		close(result)
	})
}

func TestCallInSetup(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.answering()
		c := w.client(quiet()...).record()
		require.NoError(t, c.Send(t.Context(), "queued"))
		c.AfterConnect(time.Second, func(ctx context.Context, o *wechatws.Setup) error {
			answer, err := wechatws.Call[*rpc](ctx, o, rpc{Method: "join"})
			if assert.NoError(t, err) {
				assert.Equal(t, "join", answer.Result)
			}
			_, err = wechatws.Call[*rpc](ctx, o, rpc{ID: "x", Method: "fail"})
			var failed *rpcError
			assert.ErrorAs(t, err, &failed)
			_, err = wechatws.Call[*rpc](ctx, o, "x")
			assert.ErrorContains(t, err, "Call(string)")
			return nil
		})
		c.connect()
		w.sleep(0)
		got := received(w.conn())
		require.Len(t, got, 3)
		assert.Equal(t, `"queued"`, got[2], "behind what setup sends")
		assert.Contains(t, c.texts()[1], `"result":"join"`)
		c.close()
	})
}

// An errMethod is an answer whose Err method is a function of the test.
type errMethod struct{ fn func() error }

func (e errMethod) Err() error { return e.fn() }

func (e *errMethod) UnmarshalJSON(data []byte) error {
	e.fn = errFunctions[strings.Trim(string(data), `{"id:1}`)]
	return nil
}

var errFunctions = map[string]func() error{}

// Err is called for a T and for a *T, and never for a nil pointer.
func TestErrOfAnAnswer(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
		c := w.client(append(quiet(), wechatws.WithCodec(nullCodec{}))...).connect()
		p, err := wechatws.Call[*rpc](t.Context(), c.Client, wechatws.Text(`{"id":1}`))
		require.NoError(t, err)
		assert.Nil(t, p)
		c.close()

		c = w.client(quiet()...).connect()
		sad := errors.New("sad")
		for name, fn := range map[string]func() error{
			"panics": func() error { panic("s3cret") }, "sad": func() error { return sad }, "glad": func() error { return nil },
			"nil pointer": func() error { return (*rpcError)(nil) },
		} {
			errFunctions = map[string]func() error{"": fn}
			value, err := wechatws.Call[errMethod](t.Context(), c.Client, wechatws.Text(`{"id":1}`))
			_, errOfPointer := wechatws.Call[*errMethod](t.Context(), c.Client, wechatws.Text(`{"id":1}`))
			assert.NotNil(t, value.fn)
			var panicked *wechatws.PanicError
			switch name {
			case "sad":
				assert.Equal(t, sad, err)
				assert.Equal(t, sad, errOfPointer)
			case "glad":
				assert.NoError(t, err)
				assert.NoError(t, errOfPointer)
			default:
				assert.ErrorAs(t, err, &panicked, name)
				assert.ErrorAs(t, errOfPointer, &panicked, name)
			}
		}
		c.close()
	})
}

// A nullCodec decodes everything as null.
type nullCodec struct{}

func (nullCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (nullCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal([]byte("null"), v) }

// Many calls at a time, answered in another order, each receive their own answer.
func TestManyCalls(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		const n = 300
		var calls sync.WaitGroup
		for i := range n {
			calls.Go(func() {
				answer, err := wechatws.Call[rpc](t.Context(), c.Client, rpc{Method: fmt.Sprint(i)})
				assert.NoError(t, err)
				assert.Equal(t, fmt.Sprint(i), answer.Result)
			})
		}
		w.sleep(0)
		conn := w.conn()
		asked := received(conn)
		require.Len(t, asked, n)
		for i := range asked {
			_ = conn.Send(strings.Replace(asked[n-1-i], "method", "result", 1))
		}
		calls.Wait()
		w.sleep(0)
		assert.Empty(t, c.errors())
		c.close()
	})
}
