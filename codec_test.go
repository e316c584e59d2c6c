package wechatws_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// sentAs returns v as the client writes it.
func sentAs(t *testing.T, v any) (string, error) {
	c, err := wechatws.New("ws://h")
	require.NoError(t, err)
	if err := c.Send(t.Context(), v); err != nil {
		return "", err
	}
	var left *wechatws.UndeliveredError
	require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &left)
	return string(left.Messages[0].Data), nil
}

// A markup is encoded by a method.
type markup string

func (m markup) MarshalJSON() ([]byte, error) {
	if m == "fails" {
		return nil, errors.New("no markup")
	}
	if m == "panics" {
		panic("no markup")
	}
	return []byte(` "` + string(m) + `" `), nil
}

// Messages are written as JSON.stringify writes them, and otherwise as json.Marshal does.
func TestEncodesAsJSONStringify(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{"a&b", `"a&b"`},
		{"<b>", `"<b>"`},
		{map[string]any{"<&>": "<&>", "a": []string{"&"}}, `{"<&>":"<&>","a":["&"]}`},
		{struct {
			URL string `json:"url"`
			Raw json.RawMessage
			M   markup
		}{"/?a=1&b=2", json.RawMessage(`{ "a": "<&>" }`), "<i>"}, `{"url":"/?a=1&b=2","Raw":{"a":"<&>"},"M":"<i>"}`},
		{json.RawMessage(`"\u0026"`), `"\u0026"`},
		{"line\nquote\"back\\slash\x00\u2028", `"line\nquote\"back\\slash\u0000\u2028"`},
		{1e21, "1e+21"}, {1e-7, "1e-7"}, {0.1, "0.1"}, {100000000000000000.0, "100000000000000000"},
		{nil, "null"}, {[]byte("a"), `"YQ=="`}, {[]int(nil), "null"}, {time.Second, "1000000000"}, {json.Number("1.50"), "1.50"},
		{strings.Repeat("&", 1<<20), `"` + strings.Repeat("&", 1<<20) + `"`},
	} {
		got, err := sentAs(t, tt.v)
		require.NoError(t, err)
		assert.Equal(t, tt.want, got)
		theirs, err := json.Marshal(tt.v)
		require.NoError(t, err)
		if _, raw := tt.v.(json.RawMessage); !raw {
			assert.Equal(t, strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(string(theirs)), got)
		}
	}
}

// A value that cannot be encoded leaves nothing behind for the next one.
func TestAValueThatCannotBeEncoded(t *testing.T) {
	for range 3 {
		_, err := sentAs(t, []any{"before", markup("fails")})
		require.ErrorContains(t, err, "no markup")
		require.Panics(t, func() { _, _ = sentAs(t, []any{"before", markup("panics")}) })
		_, err = sentAs(t, []any{"before", func() {}})
		require.ErrorContains(t, err, "cannot encode []interface {}")
		got, err := sentAs(t, []any{"after", markup("x")})
		require.NoError(t, err)
		require.Equal(t, `["after","x"]`, got)
	}
}

// A point decodes itself from text, as a key too.
type point struct{ X, Y int }

func (p *point) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%d,%d", &p.X, &p.Y)
	return err
}

type tree struct {
	Value    any
	Children []*tree
	ByName   map[string]tree `json:"by_name,omitempty"`
}

// differentialTypes are what each of differentialInputs is decoded into.
var differentialTypes = map[string]into{
	"any": a[any], "any with a value": with[any]("before"), "any with a pointer": func() any { return &struct{ A any }{&inner{1, 2}} },
	"bool": a[bool], "string": with("before"), "named string": a[chatID], "bytes": with([]byte("before")), "raw": a[json.RawMessage],
	"int": with(7), "int8": a[int8], "int64": a[int64], "uint": a[uint], "uint64": a[uint64], "float32": a[float32], "float64": with(7.5),
	"pointer": with(new(7)), "nil pointer": a[*string], "pointer to a pointer": a[**inner], "number": a[json.Number], "numbers": a[[]json.Number],
	"ints": with([]int{7, 8, 9}), "strings": a[[]string], "array": with([2]int{7, 8}), "array of structs": a[[1]inner], "empty array": a[[0]int], "nested": a[[][]int],
	"map": with(map[string]int{"A": 7}), "map of any": a[map[string]any], "int keys": a[map[int]int], "uint8 keys": a[map[uint8]any], "text keys": a[map[point]any],
	"map of pointers": a[map[string]*inner], "named keys": a[map[chatID]any],
	"struct": with(inner{7, 8}), "tags": a[Shared], "embedded": a[struct{ Shared }], "embedded pointer": a[struct{ *Shared }], "shadowed": a[struct {
		Shared
		Name *string
	}], "left out": a[struct {
		A int `json:"-"`
		B int
	}], "unexported": a[struct{ a, B int }], "omitzero": a[struct {
		A time.Time `json:"a,omitzero"`
		B *int      `json:",omitempty"`
	}], "case": a[struct {
		Lower any `json:"a"`
		Upper any `json:"A"`
	}], "quoted": a[struct {
		A int     `json:",string"`
		B float64 `json:"b,string"`
	}], "quoted text": a[struct {
		A string `json:",string"`
		B *bool  `json:",string"`
	}], "recursive": a[tree], "raw field": a[struct{ A json.RawMessage }], "numbers in fields": a[struct {
		A json.Number
		B *json.Number
	}], "interfaces": a[struct {
		A any
		B fmt.Stringer
	}],
	"time": a[time.Time], "times": a[struct{ A, B *time.Time }], "duration": a[time.Duration], "text": a[point], "pointer to text": a[struct{ A, B *point }],
	"address": a[netip.Addr], "big": a[*big.Int], "itself": a[wrapped], "itself in fields": a[struct{ A, B wrapped }], "function": a[struct {
		A func()
		B int
	}], "empty struct": a[struct{}],
}

var differentialInputs = []string{
	`null`, `true`, `false`, `0`, `-0`, `1`, `-1`, `127`, `128`, `-129`, `255`, `256`, `1.0`, `1.5`, `1e2`, `1E400`, `-1e-400`,
	`9223372036854775807`, `9223372036854775808`, `-9223372036854775809`, `18446744073709551615`, `18446744073709551616`, `9007199254740993`,
	`3.4028236e38`, `123456789012345678901234567890`, `01`, `+1`, `.5`, `1.`, `-`, `NaN`, `Infinity`, `0x10`, `1_000`,
	`""`, `"x"`, `"7"`, `" 7"`, `"1,2"`, `"true"`, `"null"`, `"aGk="`, `"aGk"`, `"a\n"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\u0000"`, `"\x"`, `"\u12"`,
	"\"\xff\"", "\"\xed\xa0\x80\"", "{\"\xff\":1}", "\"a\tb\"", `"2026-01-02T03:04:05.678+08:00"`, `"2026-01-02"`, `"10.0.0.1"`, `'x'`,
	`[]`, `[1]`, `[1,2]`, `[1,2,3]`, `["a","b"]`, `[null]`, `[1,null,2]`, `[1,"a"]`, `[[1],[2,3]]`, `[{"A":1}]`, `[{"A":1},{"B":2}]`, `[1,]`, `[,1]`, `[1 2]`, `[`, `[1`, `]`,
	`{}`, `{"A":1}`, `{"A":1,"B":2}`, `{"a":1,"b":2}`, `{"a":1,"A":2}`, `{"A":1,"a":2}`, `{"A":1,"A":2}`, `{"A":{"A":1},"A":{"B":2}}`, `{"A":null,"B":null}`, `{"A":"1","B":"2"}`,
	`{"A":"1","b":"2.5"}`, `{"A":"\"x\"","B":"true"}`, `{"A":"","B":""}`, `{"A":[1],"B":{"x":"y"}}`, `{"A":1,"B":2,"C":3}`, `{"x":{"A":1},"y":null}`, `{"1":1,"-2":2}`, `{"256":1}`, `{"1,2":1}`,
	`{"id":1,"name":"x"}`, `{"ID":1,"NAME":"x"}`, `{"Id":1,"id":2}`, `{"Shared":{"id":1},"Name":"x"}`, `{"id":"1"}`, `{"\u0041":1}`, `{"K":1}`, "{\"\u212a\":1}", `{"":1}`,
	`{"Value":{"a":[1,"x",null,true,1.5,{}]},"children":[{"value":1},null],"by_name":{"a":{"Value":2}}}`, `{"A":"2026-01-02T03:04:05Z","B":"1,2"}`, `{"A":1.5,"B":1e3}`,
	`{"A":1,}`, `{"A"}`, `{"A":}`, `{A:1}`, `{"A":1`, `{"A":1}}`, `{"A":1}{}`, `{1:2}`, `{"A":1 "B":2}`,
	"", " ", " \t\r\n{ \"A\" : 1 } ", "\ufeff1", "1\x00", "{\"A\":1}\n", "/* */ 1", `{"A":01}`, `{"A":{"B":{"C":[[[[]]]]}}}`, `nul`, `truex`, `[true,fals]`,
}

// namesTwice are those of differentialInputs in which a name occurs twice. Two names that differ in case
// are the same one for structs with such a field, which are listed.
var namesTwice = map[string][]string{
	`{"A":1,"A":2}`:             nil,
	`{"A":{"A":1},"A":{"B":2}}`: nil,
	`{"a":1,"A":2}`:             {"interfaces", "itself in fields", "pointer to a pointer", "raw field", "struct"},
	`{"A":1,"a":2}`:             {"interfaces", "itself in fields", "pointer to a pointer", "raw field", "struct"},
	`{"Id":1,"id":2}`:           {"embedded", "embedded pointer", "shadowed", "tags"},
}

// Each type of a table and each input of another are decoded as encoding/json decodes them: to an
// equal value, or with an error. Two things differ on purpose: a name that occurs twice is an error,
// and a byte order mark in front is left out. docs/dependencies.md has them.
func TestDecodesEverythingAsEncodingJSONDoes(t *testing.T) {
	cases := 0
	for _, name := range slices.Sorted(maps.Keys(differentialTypes)) {
		for _, data := range differentialInputs {
			cases++
			want, got := differentialTypes[name](), differentialTypes[name]()
			wantErr := json.Unmarshal([]byte(strings.TrimPrefix(data, "\ufeff")), want)
			if in, twice := namesTwice[data]; twice && wantErr == nil && (in == nil || slices.Contains(in, name)) {
				wantErr = jsontext.ErrDuplicateName
			}
			err := wechatws.Message{Data: []byte(data)}.Decode(got)
			switch {
			case (err == nil) != (wantErr == nil), wantErr == jsontext.ErrDuplicateName && !errors.Is(err, wantErr):
				t.Errorf("%s into %s: %v, want %v", data, name, err, wantErr)
			case err == nil && !reflect.DeepEqual(want, got):
				t.Errorf("%s into %s: %+v; encoding/json: %+v", data, name, got, want)
			}
		}
	}
	t.Logf("%d cases", cases)
	assert.Greater(t, cases, 5000)
}
