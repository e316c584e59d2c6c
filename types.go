package wechatws

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wechatws/wechatws/internal/peek"
)

// Field returns the value at a path in a JSON message, without decoding the message: the content
// of a string, or the text of a number or boolean. It is empty if there is no such value there. The
// path is as in [WithTypePath]. Field reads the message up to the value, and does not check the
// rest; of fields of one name the first counts. It may be called from any goroutine.
func (m Message) Field(path ...string) string {
	value, err := peek.Type(m.Data, path)
	if err != nil {
		return ""
	}
	return string(value)
}

// isUsable reports whether a message for which batch.read has returned err may be passed to
// functions of the user: it was not skipped, and is not invalid text.
func isUsable(err error) bool { return err == nil || err == ErrNoType || err == ErrNotJSON }

// skipped returns how many messages were skipped since they are above the read limit.
func (b *batch) skipped() (n int64) {
	if b.Skipped > 0 {
		return 1
	}
	for i := range b.prepared {
		if _, ok := b.prepared[i].err.(*ReadLimitError); ok {
			n++
		}
	}
	return n
}

// unusable returns the error about a message that is not usable because of err.
func unusable(m Message, err error) error {
	switch err.(type) {
	case *ReadLimitError, *PanicError:
		return err
	}
	return &DecodeError{Data: m.own().Data, Err: err}
}

// The errors about messages that nothing takes, but those of noType.
var (
	errUntakenText   = fmt.Errorf("%w; OnMessage and OnUnknown take any text, WithTypeFunc can give it a type", ErrNotJSON)
	errUntypedByFunc = fmt.Errorf("%w: the function of WithTypeFunc returned none; OnMessage and OnUnknown take such messages", ErrNoType)
	errUntypedBinary = fmt.Errorf("%w: the message is binary; OnMessage and OnUnknown take it, WithTypeFunc and WithUnpack can give it a type", ErrNoType)
)

// untaken returns the error about a message that nothing has taken, and for which read has
// returned err; nil for one that has a type and is only not expected.
func (c *config) untaken(m *Message, err error) error {
	isJSON := m.Binary || c.typeFunc != nil || peek.Valid(m.Data) // or need not be
	switch {
	case !isJSON:
		err = errUntakenText
	case err == nil:
		return nil
	case c.typeFunc != nil:
		err = errUntypedByFunc
	case m.Binary:
		err = errUntypedBinary
	default:
		data := m.own().Data
		return &DecodeError{Data: data, Err: &untypedError{data, c.typePath}}
	}
	return &DecodeError{Data: m.own().Data, Err: err}
}

// An untypedError is the error about a JSON message without a type at a path. Its text is made when it
// is asked for: a peer may send very many of them.
type untypedError struct {
	data []byte
	path []string
}

func (e *untypedError) Error() string { return ErrNoType.Error() + ": " + noType(e.data, e.path) }
func (e *untypedError) Unwrap() error { return ErrNoType }

// noType says what is there in place of a JSON message's type, and which option would help.
func noType(data []byte, path []string) string {
	found, first := peek.Missing(data, path)
	kind := kinds[first]
	if kind == "" {
		kind = "a number"
	}
	where := "field " + quoted(path)
	if len(path) > 1 {
		where = "path " + quoted(path)
	}
	switch {
	case first == '[' && found == 0:
		return "the message is an array; WithTypePath(\"0\") routes by its first element"
	case first == '{' && found == len(path):
		return fmt.Sprintf("%s is an object; WithTypePath(%s, …) routes by a field in it", where, quoted(path))
	case found == len(path):
		where += " is " + kind
	case first == '{' && len(path) == 1:
		where += " is missing"
	case first == '{':
		where += ": " + quoted(path[found:found+1]) + " is missing"
	case found == 0:
		where = "the message is " + kind + ", not an object"
	default:
		where += ": " + quoted(path[found-1:found]) + " is " + kind
	}
	return where + "; WithTypeField, WithTypePath or WithTypeFunc set where it is, OnUnknown takes messages without one"
}

// kinds are the kinds of JSON values but numbers, by their first byte.
var kinds = map[byte]string{'{': "an object", '[': "an array", '"': "a string", 't': "a boolean", 'f': "a boolean", 'n': "null"}

// quoted returns the elements of a path as arguments.
func quoted(path []string) string {
	quoted := make([]string, len(path))
	for i, element := range path {
		quoted[i] = strconv.Quote(element)
	}
	return strings.Join(quoted, ", ")
}
