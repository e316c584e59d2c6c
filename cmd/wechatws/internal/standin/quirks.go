package standin

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// Presets are descriptions of backends, by name.
var Presets = map[string]func() liveroomtest.Quirks{
	"plain":         func() liveroomtest.Quirks { return liveroomtest.Quirks{} },
	"gatewayworker": liveroomtest.GatewayWorker,
}

// QuirkFlags adds a flag for each field of q, which is found by reflection: NumbersAsStrings becomes
// --numbers-as-strings.
func QuirkFlags(flags *pflag.FlagSet, q *liveroomtest.Quirks) {
	for name, field := range quirks(q) {
		usage := usages[name] + " (Quirks." + name + ")"
		name = flagName(name)
		switch p := field.Addr().Interface().(type) {
		case *bool:
			flags.BoolVar(p, name, *p, usage)
		case *string:
			flags.StringVar(p, name, *p, usage)
		case *int:
			flags.IntVar(p, name, *p, usage)
		case *time.Duration:
			flags.DurationVar(p, name, *p, usage)
		default:
			panic(fmt.Sprintf("standin: there is no flag for a quirk of type %v", field.Type()))
		}
	}
}

// Quirks returns preset with what flags set in q.
func Quirks(preset liveroomtest.Quirks, flags *pflag.FlagSet, q *liveroomtest.Quirks) liveroomtest.Quirks {
	all := reflect.ValueOf(&preset).Elem()
	for name, field := range quirks(q) {
		if flags.Changed(flagName(name)) {
			all.FieldByName(name).Set(field)
		}
	}
	return preset
}

// QuirkNames returns the names of the flags of QuirkFlags.
func QuirkNames() (names []string) {
	for name := range quirks(&liveroomtest.Quirks{}) {
		names = append(names, flagName(name))
	}
	return names
}

// quirks calls yield with each field of q.
func quirks(q *liveroomtest.Quirks) func(yield func(string, reflect.Value) bool) {
	return func(yield func(string, reflect.Value) bool) {
		v := reflect.ValueOf(q).Elem()
		for i := range v.NumField() {
			if !yield(v.Type().Field(i).Name, v.Field(i)) {
				return
			}
		}
	}
}

// flagName turns EscapedHTML into escaped-html.
func flagName(field string) string {
	var b strings.Builder
	runes := []rune(field)
	for i, r := range runes {
		begins := i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if begins {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// usages has a line for each field of Quirks. A test fails if one is missing.
var usages = map[string]string{
	"NumbersAsStrings": "write counts as strings",
	"EscapedText":      `write everything that is not ASCII as \uXXXX`,
	"EmptyList":        "what an empty message_list is: [], {} or null (default no field)",
	"HistoryName":      "call the author of a comment in a message_list name, not from_name",
	"HistorySize":      "the most comments in a message_list; 0: 20",
	"SayWho":           "add from_uid, from_name and client_id to broadcasts",
	"NoEcho":           "do not send a comment back to its author",
	"ClientID":         "the client_id of every connection (default a new one for each)",
	"SessionDelay":     "how long after a join messages are still handled with the session before it",
	"Refusal":          "the message that refuses an action",
	"ReloadLoses":      "lose the messages that arrive during a reload",
	"EscapedHTML":      "trim comments, and escape them for a page",
	"Censored":         "a word that is replaced by asterisks in comments",
	"Dropped":          "a word with which comments are not shown",
	"NumericCheck":     "write comments that are numbers as JSON numbers",
	"CloseFrames":      "end connections with a close frame instead of a mere FIN",
	"KickAfter":        "how long a client may be silent; 0: no limit",
	"PingsCount":       "count protocol pings as activity, too",
	"Linger":           "how long it takes to notice that a connection has ended",
	"SendBuffer":       "the bytes that may wait for a client that does not read; 0: 1 MiB",
	"Recovery":         "how long after a start handshakes are cut",
}
