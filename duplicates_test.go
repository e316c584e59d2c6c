package wechatws_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// The router reads the first field of a name. A decoder that took the last one would see another
// message, so a name that occurs twice is an error, whatever the message is decoded into.
func TestANameThatOccursTwiceIsAnErrorOfTheDecoder(t *testing.T) {
	type fields struct {
		Type string `json:"msg_type"`
		A    int    `json:"a"`
	}
	type number struct {
		Type string `json:"msg_type"`
		N    json.Number
	}
	for name, data := range map[string]string{
		"the type":          `{"msg_type":"x","a":1,"msg_type":"y"}`,
		"the type, escaped": `{"msg_type":"x","a":1,"msg\u005ftype":"y"}`,
		"another field":     `{"msg_type":"x","a":1,"a":2}`,
		"an unknown field":  `{"msg_type":"x","b":1,"b":2}`,
		"inside":            `{"msg_type":"x","c":[{"b":1,"b":2}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				wechatws.On(c.Client, "x", func(_ context.Context, v fields) { t.Errorf("%+v", v) })
				wechatws.On(c.Client, "x", func(_ context.Context, v struct{}) { t.Errorf("%+v", v) })
				wechatws.On(c.Client, "x", func(_ context.Context, v number) { t.Errorf("%+v", v) })
				wechatws.On(c.Client, "x", func(_ context.Context, v any) { t.Errorf("%+v", v) })
				wechatws.On(c.Client, "x", func(_ context.Context, v map[string]json.RawMessage) { t.Errorf("%+v", v) })
				wechatws.On(c.Client, "x", func(_ context.Context, v wechatws.Message) { t.Errorf("%+v", v) })
				c.connect()
				require.NoError(t, w.conn().Send(data))
				w.sleep(0)
				require.Len(t, c.errors(), 6)
				for _, err := range c.errors() {
					assert.ErrorContains(t, err, `wechatws: cannot use message of type "x" (`)
					assert.ErrorContains(t, err, "duplicate object member name")
				}
				c.close()
			})
		})
	}
}

// Names of encoding/json may differ in case: two of them are the same field.
func TestNamesThatDifferInCaseOccurTwice(t *testing.T) {
	var v struct {
		Type string `json:"msg_type"`
	}
	m := wechatws.Message{Data: []byte(`{"msg_type":"x","MSG_TYPE":"y"}`)}
	assert.ErrorContains(t, m.Decode(&v), "duplicate object member name")
}

func TestAByteOrderMarkIsNoPartOfJSON(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		got := 0
		wechatws.On(c.Client, "x", func(_ context.Context, v struct{ N json.Number }) {
			assert.Equal(t, "7", v.N.String())
			got++
		})
		wechatws.On(c.Client, "x", func(_ context.Context, v struct{ N int }) { assert.Equal(t, 7, v.N); got++ })
		wechatws.On(c.Client, "x", func(_ context.Context, m wechatws.Message) {
			assert.Equal(t, "\ufeff", string(m.Data[:3]), "Data is the message as it arrived")
			got++
		})
		c.connect()
		require.NoError(t, w.conn().Send("\ufeff"+`{"msg_type":"x","N":7}`))
		w.sleep(0)
		assert.Equal(t, 3, got)
		assert.Empty(t, c.errors())
		c.close()
	})
}
