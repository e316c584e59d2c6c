package peek_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/internal/peek"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var msgType = []string{"msg_type"}

func TestType(t *testing.T) {
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
		{`{"msg_type":null,"msg_type":"last"}`, "", peek.ErrNoType},
		{`{"msg_type":"x","later":`, "x", nil},
		{`{"msg_type":"x"}}`, "x", nil},
		{`{"msg_type":{`, "", peek.ErrNoType},
		{`{"a":{"b":[}],"msg_type":"x"}`, "", peek.ErrNotJSON},
		{`{"msg_type":""}`, "", nil},
		{`{"msg_type":"`, "", peek.ErrNotJSON},
		{`{"msg_type":"x`, "", peek.ErrNotJSON},
		{`{"msg_type":"a\tb"}`, "a\tb", nil},
		{`{"a":{},"b":[],"c":-1.5e+3,"d":true,"e":null,"msg_type":"x"}`, "x", nil},
		{`{"Msg_Type":"wrong case"}`, "", peek.ErrNoType},
		{`{"msg_type":1}`, "1", nil},
		{`{"msg_type":-1.50E+3}`, "-1.50E+3", nil},
		{`{"a":7,"msg_type" : 12 , "b":8}`, "12", nil},
		{`{"msg_type":0,"later":`, "0", nil},
		{`{"msg_type":true}`, "true", nil},
		{`{"msg_type":false}`, "false", nil},
		{`{"msg_type":12`, "", peek.ErrNotJSON},
		{`{"msg_type":12x}`, "", peek.ErrNotJSON},
		{`{"msg_type":01}`, "", peek.ErrNotJSON},
		{`{"msg_type":1]`, "", peek.ErrNotJSON},
		{`{"msg_type":truely}`, "", peek.ErrNotJSON},
		{`{"msg_type":nulls}`, "", peek.ErrNotJSON},
		{`{"msg_type": { "a":1}}`, "", peek.ErrNoType},
		{`{"msg_type":null}`, "", peek.ErrNoType},
		{`{"msg_type":{}}`, "", peek.ErrNoType},
		{`{"msg_type":{"msg_type":"inner"}}`, "", peek.ErrNoType},
		{`{"msg_type":["x"]}`, "", peek.ErrNoType},
		{`{}`, "", peek.ErrNoType},
		{`[]`, "", peek.ErrNoType},
		{`["msg_type","x"]`, "", peek.ErrNoType},
		{`"msg_type"`, "", peek.ErrNoType},
		{`0`, "", peek.ErrNoType},
		{``, "", peek.ErrNotJSON},
		{` `, "", peek.ErrNotJSON},
		{`{`, "", peek.ErrNotJSON},
		{`{"a":"x"`, "", peek.ErrNotJSON},
		{`{"a":"x"}}`, "", peek.ErrNotJSON},
		{`{"a":"x"}{}`, "", peek.ErrNotJSON},
		{`{"a":"x",}`, "", peek.ErrNotJSON},
		{`{"msg_type"}`, "", peek.ErrNotJSON},
		{`{"msg_type":}`, "", peek.ErrNotJSON},
		{`{msg_type:"x"}`, "", peek.ErrNotJSON},
		{`{"a":[1,]}`, "", peek.ErrNotJSON},
		{`{"a":[1 2]}`, "", peek.ErrNotJSON},
		{`[}`, "", peek.ErrNotJSON},
		{`01`, "", peek.ErrNotJSON},
		{`1.`, "", peek.ErrNotJSON},
		{`-`, "", peek.ErrNotJSON},
		{`1e`, "", peek.ErrNotJSON},
		{`tru`, "", peek.ErrNotJSON},
		{`"\x"`, "", peek.ErrNotJSON},
		{`"\u12G4"`, "", peek.ErrNotJSON},
		{"\"\n\"", "", peek.ErrNotJSON},
		{`hello`, "", peek.ErrNotJSON},
	}
	for _, tt := range tests {
		t.Run(tt.data, func(t *testing.T) {
			got, err := peek.Type([]byte(tt.data), msgType)
			assert.Equal(t, tt.want, string(got))
			assert.Equal(t, tt.err, err)
			assert.Equal(t, json.Valid([]byte(tt.data)), peek.Valid([]byte(tt.data)))
		})
	}
}

// Deeply nested input must not exhaust the stack, and is refused like in encoding/json.
func TestDepth(t *testing.T) {
	const maxDepth = 10000
	deepest := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	require.True(t, json.Valid([]byte(deepest)))
	_, err := peek.Type([]byte(deepest), msgType)
	assert.Equal(t, peek.ErrNoType, err)

	_, err = peek.Type([]byte("["+deepest+"]"), msgType)
	assert.Equal(t, peek.ErrNotJSON, err)

	_, err = peek.Type([]byte(strings.Repeat(`{"a":`, 4<<20)), msgType)
	assert.Equal(t, peek.ErrNotJSON, err)
}

func TestPath(t *testing.T) {
	tests := []struct {
		path, data string // the elements of the path are separated by spaces
		want       string
		err        error
		found      int
		first      byte
	}{
		{"header event_type", `{"schema":"2.0","header":{"event_id":"5","event_type":"im.message"},"event":{}}`, "im.message", nil, 2, '"'},
		{"a b c", `{"x":{"a":{"b":{"c":1}}},"a":{"a":9,"x":{"b":8},"b":{"b":7,"c":4}}}`, "4", nil, 3, '4'},
		{"a b", `{"a" : { "b" : true } }`, "true", nil, 2, 't'},
		{"a b", `{"a":{"c":{"b":1},"d":[{"b":2}]},"b":3}`, "", peek.ErrNoType, 1, '{'},
		{"a b", `{"a":{"c":1}}`, "", peek.ErrNoType, 1, '{'},
		{"a b", `{"a":{},"b":1}`, "", peek.ErrNoType, 1, '{'},
		{"a b", `{"a":{},"a":{"b":1}}`, "", peek.ErrNoType, 1, '{'},
		{"a b", `{"a":7}`, "", peek.ErrNoType, 1, '7'},
		{"a b", `{"a":null,"b":1}`, "", peek.ErrNoType, 1, 'n'},
		{"a b", `{"a":{"b":{"c":1}}}`, "", peek.ErrNoType, 2, '{'},
		{"a b", `{"a":[{"b":1}]}`, "", peek.ErrNoType, 1, '['},
		{"a b", `[{"a":{"b":1}}]`, "", peek.ErrNoType, 0, '['},
		{"a b", `{"c":{"a":{"b":1}}}`, "", peek.ErrNoType, 0, '{'},
		{"a b", `"a"`, "", peek.ErrNoType, 0, '"'},
		{"a b", `{"a":7x}`, "", peek.ErrNotJSON, 1, '7'},
		{"a b", `{"a":{"b":7]}`, "", peek.ErrNotJSON, 2, '7'},
		{"a", `{}`, "", peek.ErrNoType, 0, '{'},
		{"a", `{"a":[`, "", peek.ErrNoType, 1, '['},
		{"0", `["EVENT","id",{"kind":1}]`, "EVENT", nil, 1, '"'},
		{"0", `[2,"19223201","Action",{}]`, "2", nil, 1, '2'},
		{"2", `[3,"19223201","Action"]`, "Action", nil, 1, '"'},
		{"1", `[[0,1],2]`, "2", nil, 1, '2'},
		{"3", `["1","2","room:lobby","phx_reply",{}]`, "phx_reply", nil, 1, '"'},
		{"0", `[]`, "", peek.ErrNoType, 0, '['},
		{"1", `["a"]`, "", peek.ErrNoType, 0, '['},
		{"0", `[null]`, "", peek.ErrNoType, 1, 'n'},
		{"0", `[7}`, "", peek.ErrNotJSON, 1, '7'},
		{"0", `{"0":"name"}`, "name", nil, 1, '"'},
		{"1 0 b", `[[{"b":1}],[{"b":2}]]`, "2", nil, 3, '2'},
		{"a 1 b", `{"a":[{"b":1},{"b":2}]}`, "2", nil, 3, '2'},
		{"a 1 b", `{"a":[{"b":1}],"b":3}`, "", peek.ErrNoType, 1, '['},
		{"99999999999999999999", `[1]`, "", peek.ErrNoType, 0, '['},
		{"-0", `[1]`, "", peek.ErrNoType, 0, '['},
		{"a", "\ufeff" + `{"a":"after the mark"}`, "after the mark", nil, 1, '"'},
		{"a", "\ufeff\ufeff" + `{"a":1}`, "", peek.ErrNotJSON, 0, 0},
		{"a", "\ufeff", "", peek.ErrNotJSON, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.path+tt.data, func(t *testing.T) {
			path := strings.Split(tt.path, " ")
			got, err := peek.Type([]byte(tt.data), path)
			assert.Equal(t, tt.want, string(got))
			assert.Equal(t, tt.err, err)
			if found, first := peek.Missing([]byte(tt.data), path); tt.err == peek.ErrNoType {
				assert.Equal(t, tt.found, found)
				assert.Equal(t, string(tt.first), string(first))
			}
		})
	}
}

func TestAnEmptyPathIsNoType(t *testing.T) {
	for _, path := range [][]string{nil, {""}, {"a", ""}} {
		_, err := peek.Type([]byte(`{"a":[1]}`), path)
		assert.Equal(t, peek.ErrNoType, err)
	}
}

// encoding/json is the oracle: the same text is valid, and the first value at that path is found.
func FuzzType(f *testing.F) {
	for _, seed := range []string{
		`{"msg_type":"join","online_num":"12","message_list":[{"name":"a","content":"b\u4e2d"}]}`,
		`{"a":[1,-0.5e-7,true,null,"\\\""],"msg\u005ftype":"x"}`, `[[],{}]`, `"`, `{"msg_type":1}`, "\ufeff{}", "\ufeff\ufeff",
		`{"a":1,"msg_type":"x","msg_type":2`, `{"":"x","msg_type":"y"}`, `{"msg_type" :-1.5e3 ,"a":true}`, `{"msg_type":true}`, `{"msg_type":1`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) {
			t.Skip() // refused before it comes here
		}
		text := bytes.TrimPrefix(data, []byte("\ufeff"))
		require.Equal(t, json.Valid(text), peek.Valid(data))
		typ, err := peek.Type(data, msgType)
		want, wantErr := firstType(text, msgType)
		if wantErr == nil || json.Valid(text) {
			require.Equal(t, wantErr, err)
		}
		require.Equal(t, want, string(typ))
		if json.Valid(text) {
			require.NotEqual(t, peek.ErrNotJSON, err)
		}
	})
}

// FuzzField is FuzzType for valid JSON and any path that the client accepts, which is the last
// part of the condition of WithTypePath. The elements are separated by spaces.
func FuzzField(f *testing.F) {
	for _, seed := range []struct{ path, data string }{
		{`a`, `{"a":1}`}, {"类型", `{"\u7c7b\u578b":"x"}`}, {"a<b", `{"a\u003cb":true}`}, {"\u2028", `{"\u2028":"x"}`}, {"\U0001f375", `{"\ud83c\udf75":"tea"}`},
		{`a\b`, `{"a\b":1}`}, {"\x7f", `{"\u007f":2}`}, {"\ufffd", `{"\ud800":"half"}`},
		{"a b", `{"a":{"c":[{"b":1}],"b":2}}`}, {"0", `["EVENT",{}]`}, {"a 1 b", `{"a":[{"b":1},{"b":2}]}`}, {"1 0 2", `[{},[[0,1,"x"]]]`},
		{"a b", `{"a":{},"a":{"b":1}}`}, {"00 0", `[["x"]]`},
	} {
		f.Add(seed.path, []byte(seed.data))
	}
	f.Fuzz(func(t *testing.T, elements string, data []byte) {
		path := strings.Split(elements, " ")
		for _, element := range path {
			if element == "" || !utf8.ValidString(element) || strings.ContainsFunc(element, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) {
				t.Skip() // refused by WithTypePath
			}
		}
		if !utf8.Valid(data) || !json.Valid(data) {
			t.Skip()
		}
		typ, err := peek.Type(data, path)
		want, wantErr := firstType(data, path)
		require.Equal(t, wantErr, err)
		require.Equal(t, want, string(typ))
	})
}

// firstType is Type with the tokens of encoding/json, which accepts some invalid JSON.
func firstType(data []byte, path []string) (string, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	for _, element := range path {
		if err := enter(d, element); err != nil {
			return "", err
		}
	}
	value, err := d.Token()
	if err != nil {
		return "", peek.ErrNoType
	}
	switch value := value.(type) {
	case string:
		return value, nil
	case json.Number, bool:
		if rest := data[d.InputOffset():]; len(rest) > 0 && strings.ContainsRune(" \t\r\n,}]", rune(rest[0])) {
			return fmt.Sprint(value), nil
		}
		return "", peek.ErrNotJSON
	}
	return "", peek.ErrNoType
}

// enter reads up to the value of a field or an element of the array or object that comes next.
func enter(d *json.Decoder, element string) error {
	bracket, err := d.Token()
	if err != nil || bracket != json.Delim('{') && bracket != json.Delim('[') {
		return peek.ErrNoType
	}
	last, notIndex := strconv.ParseUint(element, 10, 63)
	for i := uint64(0); d.More(); i++ {
		if bracket == json.Delim('{') {
			key, err := d.Token()
			if err != nil {
				return peek.ErrNotJSON
			}
			if key == element {
				return nil
			}
		} else if notIndex == nil && i == last {
			return nil
		}
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return peek.ErrNotJSON
		}
	}
	return peek.ErrNoType
}

// A message as a live room's server sends it, with its type at the beginning and at the end.
const (
	rest      = `"from_name":"\u5c0f\u660e","content":"how much is the blue one?","client_id":"7f0000010b5400000001","time":1700000000`
	typeFirst = `{"msg_type":"message",` + rest + `}`
	typeLast  = `{` + rest + `,"msg_type":"message"}`
)

func TestNoAllocation(t *testing.T) {
	for _, message := range []string{typeFirst, typeLast, `{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `,"msg_type":7}`, "[[]]", `{"msg_type":[]}`} {
		data := []byte(message)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			_, _ = peek.Type(data, msgType)
			_, _ = peek.Type(data, []string{"a", "0"})
			peek.Valid(data)
		}), message)
	}
}

func BenchmarkType(b *testing.B) {
	nested, first := []string{"body", "msg_type"}, []string{"0"}
	for _, bench := range []struct {
		name, message string
		peek          func([]byte)
	}{
		{"first", typeFirst, func(data []byte) { _, _ = peek.Type(data, msgType) }},
		{"last", typeLast, func(data []byte) { _, _ = peek.Type(data, msgType) }},
		{"nested", `{"body":` + typeLast + `}`, func(data []byte) { _, _ = peek.Type(data, nested) }},
		{"array", `["message",` + typeLast + `]`, func(data []byte) { _, _ = peek.Type(data, first) }},
		{"encoding-json", typeFirst, func(data []byte) {
			var m struct {
				Type string `json:"msg_type"`
			}
			_ = json.Unmarshal(data, &m)
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			data := []byte(bench.message)
			b.ReportAllocs()
			for b.Loop() {
				bench.peek(data)
			}
		})
	}
}
