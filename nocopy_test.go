package wechatws_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// Only callbacks of OnMessageNoCopy receive data that is reused. All others may retain it.
func TestDataMayBeKept(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		kept := map[string][]wechatws.Message{}
		keep := func(name string) func(context.Context, wechatws.Message) {
			return func(_ context.Context, m wechatws.Message) { kept[name] = append(kept[name], m) }
		}
		c.OnMessage(keep("OnMessage"))
		c.OnUnknown(keep("OnUnknown"))
		wechatws.On(c.Client, "known", keep("On"))
		var noCopy []string
		c.OnMessageNoCopy(func(_ context.Context, m wechatws.Message) { noCopy = append(noCopy, string(m.Data)) })
		type number struct{ N []int }
		var decoded []number
		wechatws.On(c.Client, "known", func(_ context.Context, v number) { decoded = append(decoded, v) })
		var failures []string
		wechatws.On(c.Client, "known", func(context.Context, struct{ N string }) {})
		c.OnError(func(_ context.Context, err error) {
			failures = append(failures, string(err.(*wechatws.DecodeError).Data))
		})
		c.connect()
		conn := w.conn()

		answers := make(chan wechatws.Message)
		go func() {
			m, err := c.Request(t.Context(), "x", func(m wechatws.Message) bool { return m.Type == "known" })
			require.NoError(t, err)
			answers <- m
		}()
		w.sleep(0)
		const n = 500
		var known, unknown, all []string
		for i := range n {
			known = append(known, fmt.Sprintf(`{"msg_type":"known","n":[%d,%[1]d]}`, i))
			unknown = append(unknown, fmt.Sprintf(`{"msg_type":"unknown %d"}`, i))
			all = append(all, known[i], unknown[i])
			require.NoError(t, conn.Send(known[i]))
			require.NoError(t, conn.Send(unknown[i]))
		}
		w.sleep(0)
		texts := func(name string) (texts []string) {
			for _, m := range kept[name] {
				texts = append(texts, string(m.Data))
			}
			return texts
		}
		require.Equal(t, all, texts("OnMessage"))
		require.Equal(t, all, noCopy)
		require.Equal(t, known, texts("On"))
		require.Equal(t, unknown, texts("OnUnknown"))
		require.Equal(t, known, failures)
		require.Equal(t, known[0], string((<-answers).Data))
		for i, v := range decoded {
			require.Equal(t, []int{i, i}, v.N)
		}
		require.Len(t, decoded, n)
		c.close()
	})
}

// A value that a callback receives has nothing of the previous one, also if that one could not
// be decoded to its end, or its callback panicked.
func TestEachMessageIsDecodedAfresh(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		type value struct {
			A, B int
			L    []int
		}
		var got []value
		wechatws.On(c.Client, "x", func(_ context.Context, v value) {
			got = append(got, v)
			if v.A == 3 {
				panic("three")
			}
		})
		c.connect()
		conn := w.conn()
		for _, text := range []string{
			`{"msg_type":"x","a":1,"l":[1,2,3]}`,
			`{"msg_type":"x","b":2,"l":[4]}`,
			`{"msg_type":"x","a":5,"b":"not a number"}`,
			`{"msg_type":"x","a":3,"l":[7]}`,
			`{"msg_type":"x","b":4}`,
		} {
			require.NoError(t, conn.Send(text))
		}
		w.sleep(0)
		require.Equal(t, []value{{A: 1, L: []int{1, 2, 3}}, {B: 2, L: []int{4}}, {A: 3, L: []int{7}}, {B: 4}}, got)
		c.close()
	})
}
