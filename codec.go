package wechatws

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// jsonCodec encodes with encoding/json, without its escapes for HTML, and decodes like it. Types that
// json v2 decodes in the same way are decoded by json v2, in less than half the time, and all others
// by encoding/json.
type jsonCodec struct{}

// A jsonEncoder is an encoder with its buffer.
type jsonEncoder struct {
	bytes.Buffer
	*json.Encoder
}

// encoders has encoders, since json.Marshal, which needs none, always escapes <, > and &.
var encoders = sync.Pool{New: func() any {
	e := &jsonEncoder{}
	e.Encoder = json.NewEncoder(&e.Buffer)
	e.SetEscapeHTML(false)
	return e
}}

// maxEncoder is the size in bytes of the largest buffer that is kept.
const maxEncoder = 64 << 10

func (jsonCodec) Marshal(v any) ([]byte, error) {
	e := encoders.Get().(*jsonEncoder) // not put back if a method of v panics
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	data := bytes.Clone(bytes.TrimSuffix(e.Bytes(), []byte("\n")))
	if e.Reset(); e.Cap() <= maxEncoder {
		encoders.Put(e)
	}
	return data, nil
}

func (jsonCodec) Unmarshal(data []byte, v any) error {
	switch traitsOf(reflect.TypeOf(v)) {
	case ordinary:
		return jsonv2.Unmarshal(data, v, likeEncodingJSON)
	case dynamic:
		return jsonv2.Unmarshal(data, v, likeEncodingJSON, numbersToo)
	default:
		if err := uniqueNames(data); err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	}
}

// uniqueNames returns an error if a name occurs twice in an object in data, which may be invalid.
func uniqueNames(data []byte) error {
	err := jsonv2.Unmarshal(data, new(jsontext.Value), likeEncodingJSON)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return err
	}
	return nil
}

// likeEncodingJSON are the options for decoding like encoding/json, except that a name must not
// occur twice in an object: the router takes the first one, without reading the rest, and
// encoding/json the last. The errors are those of json v2: making those of encoding/json takes a
// third of the time and adds nothing.
var likeEncodingJSON = jsonv2.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv1.ReportErrorsWithLegacySemantics(false), jsontext.AllowDuplicateNames(false))

// numbersToo is the option for decoding encoding/json's Number, which json v2 decodes as a
// string otherwise. It costs a look-up for each value.
var numbersToo = jsonv2.WithUnmarshalers(jsonv2.UnmarshalFromFunc(func(d *jsontext.Decoder, n *json.Number) error {
	return (*jsonv1.Number)(n).UnmarshalJSONFrom(d)
}))

// traits classify a type by how it must be decoded. Of several the largest counts.
type traits int

const (
	ordinary traits = iota + 1
	dynamic         // an interface, which may hold a pointer to a json.Number
	legacy          // json.Number, or a definition that only encoding/json accepts
)

var (
	knownTraits sync.Map // from reflect.Type

	numberType          = reflect.TypeFor[json.Number]()
	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func traitsOf(t reflect.Type) traits {
	if known, ok := knownTraits.Load(t); ok {
		return known.(traits)
	}
	found := inspect(t, map[reflect.Type]bool{})
	knownTraits.Store(t, found)
	return found
}

// inspect returns the traits of a type, with those of its elements and fields.
func inspect(t reflect.Type, seen map[reflect.Type]bool) traits {
	switch {
	case t == nil || seen[t]:
		return ordinary
	case t == numberType:
		return legacy
	}
	seen[t] = true
	if p := reflect.PointerTo(t); p.Implements(unmarshalerType) || p.Implements(textUnmarshalerType) {
		return ordinary // it has its own decoding
	}
	switch t.Kind() {
	case reflect.Interface:
		return dynamic
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return legacy
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return inspect(t.Elem(), seen)
	case reflect.Map:
		return max(inspect(t.Key(), seen), inspect(t.Elem(), seen))
	case reflect.Struct:
		return inspectStruct(t, seen)
	default:
		return ordinary
	}
}

// inspectStruct returns the traits of a struct. They are legacy if its definition has what
// encoding/json ignores and json v2 refuses, such as unknown tags, two fields of one name, or
// ",string" where it has no meaning.
func inspectStruct(t reflect.Type, seen map[reflect.Type]bool) traits {
	if jsonv2.Unmarshal([]byte("{}"), reflect.New(t).Interface(), likeEncodingJSON) != nil {
		return legacy
	}
	found := ordinary
	for f := range t.Fields() {
		tag := f.Tag.Get("json")
		if !f.IsExported() && !f.Anonymous || tag == "-" {
			continue
		}
		if _, options, _ := strings.Cut(tag, ","); strings.Contains(options, "string") && !quotable(f.Type) {
			return legacy
		}
		found = max(found, inspect(f.Type, seen))
	}
	return found
}

// quotable reports whether ",string" has a meaning for a field of type t.
func quotable(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch k := t.Kind(); k {
	case reflect.Bool, reflect.String:
		return true
	default:
		return k >= reflect.Int && k <= reflect.Float64
	}
}
