// Package redact replaces secrets in text that is shown or stored.
package redact

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wechatws/wechatws"
)

// Mark stands where a secret was.
const Mark = "[secret]"

// New returns a replacer of secrets, in all forms in which a server may repeat them: in JSON, in a URL,
// and with control characters escaped. Empty secrets are ignored.
func New(secrets ...string) *strings.Replacer {
	type pair struct{ from, to string }
	var pairs []pair
	for _, s := range secrets {
		for _, form := range forms(s) {
			pairs = append(pairs, pair{strings.Trim(form, `"`), Mark})
		}
		if _, err := strconv.ParseUint(s, 10, 64); err == nil { // as a number in JSON, which remains JSON
			for _, end := range []string{",", "}", "]"} {
				pairs = append(pairs, pair{":" + s + end, `:"` + Mark + `"` + end})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return len(b.from) - len(a.from) }) // at one place the longest one is replaced
	var list []string
	for _, p := range pairs {
		if p.from != "" {
			list = append(list, p.from, p.to)
		}
	}
	return strings.NewReplacer(list...)
}

var (
	percent = regexp.MustCompile(`%[0-9A-F]{2}`)

	// What encoders of JSON escape that need not be escaped, besides text that is not ASCII.
	gson   = strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`, "'", `\u0027`, "=", `\u003d`)
	dotNet = strings.NewReplacer("<", `\u003C`, ">", `\u003E`, "&", `\u0026`, "'", `\u0027`, "+", `\u002B`, `\"`, `\u0022`)
)

// forms returns the forms of a secret, some of them in quotes.
func forms(s string) []string {
	list := []string{s, wechatws.Printable(s)}
	for _, escaped := range []string{url.QueryEscape(s), url.PathEscape(s)} {
		list = append(list, escaped, percent.ReplaceAllStringFunc(escaped, strings.ToLower))
	}
	quoted := []string{strconv.Quote(s), strconv.QuoteToASCII(s), gson.Replace(strconv.Quote(s)), dotNet.Replace(strconv.QuoteToASCII(s))}
	if text, err := json.Marshal(s); err == nil {
		quoted = append(quoted, string(text))
	}
	for _, text := range quoted {
		list = append(list, text, strings.ReplaceAll(text, "/", `\/`)) // the latter is PHP's
	}
	return list
}
