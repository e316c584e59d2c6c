package wechatws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

type (
	upper   string             // by UnmarshalText
	wrapped struct{ S string } // by UnmarshalJSON
	chatID  json.Number        // a type of its own, which is a string to encoding/json

	inner  struct{ A, B int }
	Shared struct {
		ID   int `json:"id"`
		Name string
	}
	Other struct{ Name string }
)

func (u *upper) UnmarshalText(b []byte) error {
	if string(b) == "bad" {
		return fmt.Errorf("bad text")
	}
	*u = upper(strings.ToUpper(string(b)))
	return nil
}

func (w *wrapped) UnmarshalJSON(b []byte) error {
	w.S = "<" + string(b) + ">"
	return nil
}

// ambiguous has two fields of one name, which vet would not let pass.
var ambiguous = reflect.StructOf([]reflect.StructField{
	{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"x"`},
	{Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"x"`},
	{Name: "C", Type: reflect.TypeFor[int]()},
})

// into makes what a message is decoded into.
type into = func() any

func a[T any]() any { return new(T) }

// tagged is a struct with a field N whose tag vet or staticcheck would not let pass.
func tagged[T any](tag reflect.StructTag) into {
	field := reflect.StructField{Name: "N", Type: reflect.TypeFor[T](), Tag: tag}
	return func() any { return reflect.New(reflect.StructOf([]reflect.StructField{field})).Interface() }
}

func with[T any](v T) into { return func() any { room := v; return &room } }

// The default codec decodes what encoding/json decodes, to the same value, and refuses
// what encoding/json refuses.
func TestDecodesAsEncodingJSONDoes(t *testing.T) {
	tests := []struct {
		name, data string
		into       into
	}{
		{"string", `"a\u4f60\/\n"`, a[string]},
		{"half a surrogate pair", `"\ud800x"`, a[string]},
		{"string into a named type", `"x"`, a[chatID]},
		{"number into a string", `1`, a[string]},
		{"integer", `-12`, a[int]},
		{"integer with a fraction", `1.0`, a[int]},
		{"integer with an exponent", `1e3`, a[int]},
		{"integer out of range", `300`, a[int8]},
		{"negative number, unsigned", `-1`, a[uint]},
		{"string into an integer", `"1"`, a[int]},
		{"float", `1.5e-3`, a[float64]},
		{"float out of range", `1e400`, a[float64]},
		{"small float out of range", `1e39`, a[float32]},
		{"bool", `true`, a[bool]},
		{"string into a bool", `"true"`, a[bool]},
		{"null leaves an integer", `null`, with(7)},
		{"null leaves a string", `null`, with("x")},
		{"null leaves a struct", `null`, with(inner{1, 2})},
		{"null leaves an array", `null`, with([2]int{1, 2})},
		{"null clears a pointer", `null`, with(new(int))},
		{"null clears a slice", `null`, with([]int{1})},
		{"null clears a map", `null`, with(map[string]int{"a": 1})},
		{"null clears an interface", `null`, with[any](7)},
		{"pointer to a pointer", `5`, a[**int]},

		{"names in another case", `{"ID":1,"NAME":"x"}`, a[Shared]},
		{"exact name before another case", `{"a":1,"A":2}`, a[struct {
			Lower int `json:"a"`
			Upper int `json:"A"`
		}]},
		{"last of two fields", `{"A":1,"A":2}`, a[inner]},
		{"two objects are merged", `{"P":{"A":1},"P":{"B":2}}`, a[struct{ P *inner }]},
		{"unknown fields", `{"x":[{}],"A":1}`, a[inner]},
		{"unexported fields", `{"a":1,"B":2}`, a[struct{ a, B int }]},
		{"field that is left out", `{"A":1,"-":2}`, a[struct {
			A int `json:"-"`
		}]},
		{"field named -", `{"-":2}`, tagged[int](`json:"-,"`)},
		{"omitempty", `{"a":0}`, a[struct {
			A int `json:"a,omitempty"`
		}]},
		{"empty name in the tag", `{"A":1}`, a[struct {
			A int `json:",omitempty"`
		}]},
		{"embedded", `{"id":1,"Name":"x"}`, a[struct{ Shared }]},
		{"embedded pointer", `{"id":1}`, a[struct{ *Shared }]},
		{"embedded and named", `{"Shared":{"id":1},"id":2}`, a[struct {
			Shared `json:"Shared"`
		}]},
		{"embedded twice", `{"id":1,"Name":"x"}`, a[struct {
			Shared
			Other
		}]},
		{"embedded and shadowed", `{"id":1,"Name":"x"}`, a[struct {
			Shared
			Name string
		}]},
		{"fields that are there", `{"A":1}`, with(inner{5, 6})},
		{"object into a string", `{}`, a[string]},
		{"array into a struct", `[]`, a[inner]},

		{"quoted integer", `{"N":"12"}`, a[struct {
			N int `json:",string"`
		}]},
		{"quoted integer without quotes", `{"N":12}`, a[struct {
			N int `json:",string"`
		}]},
		{"quoted integer that is empty", `{"N":""}`, a[struct {
			N int `json:",string"`
		}]},
		{"quoted integer, null", `{"N":null}`, with(struct {
			N int `json:",string"`
		}{7})},
		{"quoted float", `{"N":"1.5"}`, a[struct {
			N *float64 `json:",string"`
		}]},
		{"quoted bool", `{"B":"true"}`, a[struct {
			B bool `json:",string"`
		}]},
		{"quoted string", `{"S":"\"x\""}`, a[struct {
			S string `json:",string"`
		}]},
		{"quoted string without inner quotes", `{"S":"x"}`, a[struct {
			S string `json:",string"`
		}]},
		{"quoted slice means nothing", `{"N":[1]}`, tagged[[]int](`json:",string"`)},

		{"slice", `[1,2]`, a[[]int]},
		{"empty slice", `[]`, a[[]int]},
		{"slice that has room", `[{"A":1}]`, with([]inner{{7, 8}, {9, 10}})},
		{"array that is too long", `[1,2,3]`, a[[2]int]},
		{"array that is too short", `[1]`, with([3]int{7, 8, 9})},
		{"bytes", `"aGk="`, a[[]byte]},
		{"bytes that are no base64", `"a*"`, a[[]byte]},
		{"array of bytes", `[1,2]`, a[[2]byte]},
		{"map is added to", `{"b":2}`, with(map[string]int{"a": 1})},
		{"map of structs", `{"a":{"A":1}}`, with(map[string]inner{"a": {B: 2}})},
		{"map by integers", `{"-1":"x"}`, a[map[int]string]},
		{"map by integers, no integer", `{"x":"x"}`, a[map[int]string]},
		{"map by text", `{"x":1}`, a[map[upper]int]},
		{"map by bool", `{"true":1}`, a[map[bool]int]},

		{"anything", `{"a":[1,"x",null,true,1.5,{}]}`, a[any]},
		{"map of anything", `{"a":{"b":9007199254740993}}`, a[map[string]any]},
		{"what is in an interface", `{"A":1}`, with[any](&inner{B: 2})},
		{"value in an interface", `{"A":1}`, with[any](inner{B: 2})},
		{"interface with methods", `1`, a[fmt.Stringer]},
		{"interface with methods, null", `null`, a[fmt.Stringer]},

		{"raw", `{"R":{"a": 1}}`, a[struct{ R json.RawMessage }]},
		{"raw null", `{"R":null}`, a[struct{ R json.RawMessage }]},
		{"UnmarshalJSON", `{"W":[1]}`, a[struct{ W wrapped }]},
		{"UnmarshalJSON of null", `{"W":null}`, a[struct{ W wrapped }]},
		{"UnmarshalJSON of a pointer, null", `{"W":null}`, with(struct{ W *wrapped }{&wrapped{}})},
		{"UnmarshalText", `{"U":"x"}`, a[struct{ U upper }]},
		{"UnmarshalText of null", `{"U":null}`, with(struct{ U upper }{"y"})},
		{"UnmarshalText of a number", `{"U":1}`, a[struct{ U upper }]},
		{"UnmarshalText that fails", `{"U":"bad"}`, a[struct{ U upper }]},
		{"time", `"2026-01-02T03:04:05+08:00"`, a[time.Time]},
		{"time that is none", `"yesterday"`, a[time.Time]},
		{"duration", `1000`, a[time.Duration]},
		{"duration as text", `"1s"`, a[time.Duration]},
		{"big integer", `123456789012345678901234567890`, a[big.Int]},

		{"json.Number", `{"N":9007199254740993}`, a[struct{ N json.Number }]},
		{"json.Number, as it is written", `-1.50E+400`, a[json.Number]},
		{"json.Number in quotes", `{"N":"12"}`, a[struct{ N json.Number }]},
		{"json.Number with an escape", `{"N":"\u0031"}`, a[struct{ N json.Number }]},
		{"json.Number that is text", `{"N":"x"}`, a[struct{ N json.Number }]},
		{"json.Number that is empty", `{"N":""}`, a[struct{ N json.Number }]},
		{"json.Number, null", `{"N":null}`, with(struct{ N json.Number }{"7"})},
		{"json.Number, bool", `{"N":true}`, a[struct{ N json.Number }]},
		{"json.Number, object", `{"N":{}}`, a[struct{ N json.Number }]},
		{"json.Number, pointer", `{"N":1}`, a[struct{ N *json.Number }]},
		{"json.Number, pointer, null", `{"N":null}`, with(struct{ N *json.Number }{new(json.Number)})},
		{"json.Number, slice", `[1,"2",null]`, a[[]json.Number]},
		{"json.Number, array", `[1]`, with([2]json.Number{"7", "8"})},
		{"json.Number, map", `{"a":1}`, a[map[string]json.Number]},
		{"json.Number, map of slices", `{"a":[1]}`, a[map[string][]json.Number]},
		{"json.Number, key of a map", `{"1":1}`, a[map[json.Number]int]},
		{"json.Number, key of a map that is text", `{"x":1}`, a[map[json.Number]int]},
		{"json.Number, embedded", `{"Number":1}`, a[struct{ json.Number }]},
		{"json.Number, unexported", `{"n":1}`, a[struct{ n json.Number }]},
		{"json.Number, behind itself", `{"N":1,"Next":{"N":2}}`, a[list]},
		{"json.Number, in an interface", `{"V":1}`, func() any { return &struct{ V any }{new(json.Number)} }},
		{"json.Number, in an interface at the top", `1`, with[any](new(json.Number))},
		{"json.Number, value in an interface", `1`, with[any](json.Number("7"))},
		{"json.Number, in a map of anything", `{"a":1}`, func() any { return &map[string]any{"a": new(json.Number)} }},
		{"json.Number, ,string", `{"N":"12"}`, a[struct {
			N json.Number `json:",string"`
		}]},
		{"json.Number, ,string without quotes", `{"N":12}`, a[struct {
			N json.Number `json:",string"`
		}]},
		{"json.Number, ,string, two quotes", `{"N":"\"12\""}`, a[struct {
			N json.Number `json:",string"`
		}]},
		{"json.Number, ,string that is text", `{"N":"x"}`, a[struct {
			N json.Number `json:",string"`
		}]},
		{"json.Number, ,string, null", `{"N":null}`, with(struct {
			N json.Number `json:",string"`
		}{"7"})},
		{"json.Number, ,string, pointer", `{"N":"12"}`, a[struct {
			N *json.Number `json:",string"`
		}]},
		{"json.Number, ,string, map", `{"N":{"a":1}}`, tagged[map[string]json.Number](`json:",string"`)},
		{"json.Number, type of its own", `1`, a[chatID]},

		{"bytes from an array", `[1,2]`, a[[]byte]},
		{"array of bytes from base64", `"aGk="`, a[[2]byte]},
		{"embedded pointer to an unexported struct", `{"A":1}`, a[struct{ *inner }]},
		{"embedded unexported struct", `{"A":1}`, a[struct{ inner }]},
		{"function, null", `{"F":null,"A":1}`, a[struct {
			F func()
			A int
		}]},
		{"function", `{"F":1}`, a[struct{ F func() }]},
		{"channel, null", `{"C":null,"A":1}`, a[struct {
			C chan int
			A int
		}]},
		{"no exported field", `{"a":1}`, a[struct{ a int }]},
		{"no field", `{"a":1}`, a[struct{}]},
		{"tag of another library", `{"N":1}`, a[struct {
			N int `json:"N,format:x"`
		}]},
		{"tag in quotes", `{"N":1}`, a[struct {
			N int `json:"'N'"`
		}]},
		{"tag with a comma at its end", `{"N":1}`, tagged[int](`json:"N,"`)},
		{"two fields of one name", `{"x":1,"C":2}`, func() any { return reflect.New(ambiguous).Interface() }},
		{"inner type with two fields of one name", `[{"x":1,"C":2}]`, func() any { return reflect.New(reflect.SliceOf(ambiguous)).Interface() }},

		{"spaces around it", " \t\r\n1 \n", a[int]},
		{"two values", `1 2`, a[int]},
		{"comma at the end", `[1,]`, a[[]int]},
		{"cut off", `{"A":1`, a[inner]},
		{"nothing", ``, a[int]},
		{"control character", "\"\x01\"", a[string]},
		{"leading zero", `01`, a[int]},
		{"NaN", `NaN`, a[float64]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, got := tt.into(), tt.into()
			wantErr := json.Unmarshal([]byte(tt.data), want)
			err := wechatws.Message{Data: []byte(tt.data)}.Decode(got)
			if wantErr != nil {
				require.Error(t, err, "encoding/json: %v", wantErr)
			} else {
				require.NoError(t, err)
				assert.Equal(t, want, got)
			}
		})
	}
}

type list struct {
	N    json.Number
	Next *list
}

// The differences that docs/dependencies.md lists.
func TestDecodesUnlikeEncodingJSON(t *testing.T) {
	t.Run("the first value of the wrong type ends it", func(t *testing.T) {
		var got, theirs inner
		data := []byte(`{"A":"x","B":2}`)
		require.Error(t, json.Unmarshal(data, &theirs))
		require.Error(t, wechatws.Message{Data: data}.Decode(&got))
		assert.Equal(t, inner{B: 2}, theirs)
		assert.Equal(t, inner{}, got)
	})
	t.Run("what stands before a syntax error is decoded", func(t *testing.T) {
		var got, theirs inner
		data := []byte(`{"A":1`)
		require.Error(t, json.Unmarshal(data, &theirs))
		require.Error(t, wechatws.Message{Data: data}.Decode(&got))
		assert.Equal(t, inner{}, theirs)
		assert.Equal(t, inner{A: 1}, got)
	})
	t.Run("keys of maps may be floats", func(t *testing.T) {
		var got map[float64]int
		data := []byte(`{"1.5":1}`)
		require.Error(t, json.Unmarshal(data, &map[float64]int{}))
		require.NoError(t, wechatws.Message{Data: data}.Decode(&got))
		assert.Equal(t, map[float64]int{1.5: 1}, got)
	})
}

// Only callbacks of OnMessageNoCopy receive data that is reused. All others may retain it.
func TestDataMayBeRetained(t *testing.T) {
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
func TestEachMessageIsDecodedIntoANewValue(t *testing.T) {
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

// What a program pays for decoding JSON into an any is the values; nesting adds little but stack.
func TestDeepJSONCostsWhatFlatJSONDoes(t *testing.T) {
	cost := func(one string) (heap, stack int64) {
		n := 1 << 20 / (len(one) + 1)
		m := wechatws.Message{Data: []byte("[" + strings.Repeat(one+",", n-1) + one + "]")}
		allocated := func() (heap, stack int64) {
			var s runtime.MemStats
			runtime.ReadMemStats(&s)
			return int64(s.TotalAlloc), int64(s.StackInuse)
		}
		done := make(chan struct{})
		go func() { // whose stack is small at first
			defer close(done)
			h, s := allocated()
			var v any
			assert.NoError(t, m.Decode(&v))
			heap, stack = allocated()
			heap, stack = heap-h, stack-s
		}()
		<-done
		return heap, stack
	}
	const depth = 9990
	flat, _ := cost(`{"a":1}`)
	deep, stack := cost(strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth))
	assert.Less(t, deep, 2*flat)
	assert.Less(t, deep, int64(150<<20))
	assert.Less(t, stack, int64(40<<20)) // 16 MiB, the 8 MiB that they were before, and those of other tests
	var v any
	assert.ErrorAs(t, wechatws.Message{Data: []byte(strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001))}.Decode(&v), new(*wechatws.DecodeError))
	t.Logf("1 MiB of flat JSON: %d MB; nested %d deep: %d MB, and %d MB of stack", flat>>20, depth, deep>>20, stack>>20)
}
