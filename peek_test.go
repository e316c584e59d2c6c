package wechatws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPeekType(t *testing.T) {
	tests := []struct {
		data string
		want string
		err  error
	}{
		{`{"msg_type":"join"}`, "join", nil},
		{" {\n\t\"a\" : [ 1 , { \"msg_type\" : \"inner\" } ] , \"msg_type\" : \"join\" }\r\n", "join", nil},
		{`{"msg_type":"进入"}`, "进入", nil},
		{`{"msg_type":"\u8fdb\u5165"}`, "进入", nil},
		{`{"msg\u005ftype":"escaped name"}`, "escaped name", nil},
		{`{"msg_type":"a\/b\n"}`, "a/b\n", nil},
		{`{"msg_type":"first","msg_type":"last"}`, "first", nil},
		{`{"msg_type":2,"msg_type":"last"}`, "2", nil},
		{`{"msg_type":null,"msg_type":"last"}`, "", ErrNoType},
		{`{"msg_type":"x","later":`, "x", nil},
		{`{"msg_type":"x"}}`, "x", nil},
		{`{"msg_type":{`, "", ErrNoType},
		{`{"a":{"b":[}],"msg_type":"x"}`, "", ErrNotJSON},
		{`{"msg_type":""}`, "", nil},
		{`{"msg_type":"`, "", ErrNotJSON},
		{`{"msg_type":"x`, "", ErrNotJSON},
		{`{"msg_type":"a\tb"}`, "a\tb", nil},
		{`{"a":{},"b":[],"c":-1.5e+3,"d":true,"e":null,"msg_type":"x"}`, "x", nil},
		{`{"Msg_Type":"wrong case"}`, "", ErrNoType},
		{`{"msg_type":1}`, "1", nil},
		{`{"msg_type":-1.50E+3}`, "-1.50E+3", nil},
		{`{"a":7,"msg_type" : 12 , "b":8}`, "12", nil},
		{`{"msg_type":0,"later":`, "0", nil},
		{`{"msg_type":true}`, "true", nil},
		{`{"msg_type":false}`, "false", nil},
		{`{"msg_type":12`, "", ErrNotJSON},
		{`{"msg_type":12x}`, "", ErrNotJSON},
		{`{"msg_type":01}`, "", ErrNotJSON},
		{`{"msg_type":1]`, "", ErrNotJSON},
		{`{"msg_type":truely}`, "", ErrNotJSON},
		{`{"msg_type":nulls}`, "", ErrNotJSON},
		{`{"msg_type": { "a":1}}`, "", ErrNoType},
		{`{"msg_type":null}`, "", ErrNoType},
		{`{"msg_type":{}}`, "", ErrNoType},
		{`{"msg_type":{"msg_type":"inner"}}`, "", ErrNoType},
		{`{"msg_type":["x"]}`, "", ErrNoType},
		{`{}`, "", ErrNoType},
		{`[]`, "", ErrNoType},
		{`["msg_type","x"]`, "", ErrNoType},
		{`"msg_type"`, "", ErrNoType},
		{`0`, "", ErrNoType},
		{``, "", ErrNotJSON},
		{` `, "", ErrNotJSON},
		{`{`, "", ErrNotJSON},
		{`{"a":"x"`, "", ErrNotJSON},
		{`{"a":"x"}}`, "", ErrNotJSON},
		{`{"a":"x"}{}`, "", ErrNotJSON},
		{`{"a":"x",}`, "", ErrNotJSON},
		{`{"msg_type"}`, "", ErrNotJSON},
		{`{"msg_type":}`, "", ErrNotJSON},
		{`{msg_type:"x"}`, "", ErrNotJSON},
		{`{"a":[1,]}`, "", ErrNotJSON},
		{`{"a":[1 2]}`, "", ErrNotJSON},
		{`[}`, "", ErrNotJSON},
		{`01`, "", ErrNotJSON},
		{`1.`, "", ErrNotJSON},
		{`-`, "", ErrNotJSON},
		{`1e`, "", ErrNotJSON},
		{`tru`, "", ErrNotJSON},
		{`"\x"`, "", ErrNotJSON},
		{`"\u12G4"`, "", ErrNotJSON},
		{"\"\n\"", "", ErrNotJSON},
		{`hello`, "", ErrNotJSON},
	}
	for _, tt := range tests {
		t.Run(tt.data, func(t *testing.T) {
			got, err := peekType([]byte(tt.data), "msg_type")
			assert.Equal(t, tt.want, string(got))
			assert.Equal(t, tt.err, err)
		})
	}
}

// Deeply nested input must not exhaust the stack, and is refused like in encoding/json.
func TestPeekTypeDepth(t *testing.T) {
	deepest := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	require.True(t, json.Valid([]byte(deepest)))
	_, err := peekType([]byte(deepest), "msg_type")
	assert.Equal(t, ErrNoType, err)

	_, err = peekType([]byte("["+deepest+"]"), "msg_type")
	assert.Equal(t, ErrNotJSON, err)

	_, err = peekType([]byte(strings.Repeat(`{"a":`, 4<<20)), "msg_type")
	assert.Equal(t, ErrNotJSON, err)
}

// encoding/json is the oracle: the same text is valid, and the first field of that
// name is found.
func FuzzPeekType(f *testing.F) {
	for _, seed := range []string{
		`{"msg_type":"join","online_num":"12","message_list":[{"name":"a","content":"b\u4e2d"}]}`,
		`{"a":[1,-0.5e-7,true,null,"\\\""],"msg\u005ftype":"x"}`, `[[],{}]`, `"`, `{"msg_type":1}`,
		`{"a":1,"msg_type":"x","msg_type":2`, `{"":"x","msg_type":"y"}`, `{"msg_type" :-1.5e3 ,"a":true}`, `{"msg_type":true}`, `{"msg_type":1`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) {
			t.Skip() // refused before it comes here
		}
		require.Equal(t, json.Valid(data), isJSON(data))
		typ, err := peekType(data, "msg_type")
		want, wantErr := firstType(data)
		if wantErr == nil || json.Valid(data) {
			require.Equal(t, wantErr, err)
		}
		require.Equal(t, want, string(typ))
		if json.Valid(data) {
			require.NotEqual(t, ErrNotJSON, err)
		}
	})
}

// firstType is peekType with the tokens of encoding/json, which accepts some invalid JSON.
func firstType(data []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return "", ErrNoType
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", ErrNotJSON
		}
		if key == "msg_type" {
			value, err := d.Token()
			if err != nil {
				return "", ErrNoType
			}
			switch value := value.(type) {
			case string:
				return value, nil
			case json.Number, bool:
				if rest := data[d.InputOffset():]; len(rest) > 0 && strings.ContainsRune(" \t\r\n,}", rune(rest[0])) {
					return fmt.Sprint(value), nil
				}
				return "", ErrNotJSON
			}
			return "", ErrNoType
		}
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return "", ErrNotJSON
		}
	}
	return "", ErrNoType
}

func BenchmarkPeekType(b *testing.B) {
	message := []byte(`{"msg_type":"message","from_name":"\u5c0f\u660e","content":"how much is the blue one?","client_id":"7f0000010b5400000001","time":1700000000}`)
	b.Run("peek", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = peekType(message, "msg_type")
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var m struct {
				Type string `json:"msg_type"`
			}
			_ = json.Unmarshal(message, &m)
		}
	})
}
