package doctor

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/redact"
)

const (
	minSecret  = 6  // the length from which a value is kept out of reports. Shorter ones occur by chance
	minInArray = 16 // that of a text in an array, where protocols of arrays have types, rooms and events
)

// secretsOf returns the values of a target that a server may repeat: those of the header, of the
// URL's query and user info, and the strings of the login and the heartbeat.
func secretsOf(t *Target, u *url.URL) (secrets []string) {
	for _, values := range t.Header {
		for _, v := range values {
			secrets = append(secrets, v)
			secrets = append(secrets, strings.Fields(v)...)
		}
	}
	for _, values := range u.Query() {
		secrets = append(secrets, values...)
	}
	secrets = append(append(secrets, t.Secrets...), u.RawQuery, u.User.Username())
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password)
	}
	for _, text := range [][]byte{t.Login, t.Heartbeat} {
		secrets = append(secrets, string(text))
		var message any
		if json.Unmarshal(text, &message) == nil {
			walk(message, func(name string, v any) {
				if s, ok := v.(string); ok && !slices.Contains(TypeNames, name) && (name != "" || len(s) >= minInArray) {
					secrets = append(secrets, s)
				}
			})
		}
	}
	return slices.DeleteFunc(secrets, func(s string) bool { return len(s) < minSecret })
}

// clean returns text for a report: printable, cut, without the target's secrets.
func (x *examination) clean(s string) string {
	return printable(x.hide.Replace(s))
}

// hideCut returns text that was cut by others, without the target's secrets, also without the beginning of
// one at the end.
func (x *examination) hideCut(s string) string {
	for _, secret := range x.secrets {
		for n := min(len(secret), len(s)); n >= minSecret; n-- {
			if strings.HasSuffix(s, secret[:n]) {
				s = s[:len(s)-n] + redact.Mark
			}
		}
	}
	return x.hide.Replace(s)
}

// walk calls fn with every value in a JSON value, and the name of the field that it is in.
func walk(v any, fn func(name string, v any)) {
	fn("", v)
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			fn(name, inner)
			walk(inner, fn)
		}
	case []any:
		for _, inner := range v {
			walk(inner, fn)
		}
	}
}
