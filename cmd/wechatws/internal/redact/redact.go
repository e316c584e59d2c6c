// Package redact replaces secrets in text that is shown or stored.
package redact

import (
	"encoding/json"
	"net/url"
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
	var forms []string
	for _, s := range secrets {
		forms = append(forms, s, strconv.Quote(s), url.QueryEscape(s), url.PathEscape(s), wechatws.Printable(s))
		if quoted, err := json.Marshal(s); err == nil {
			forms = append(forms, string(quoted))
		}
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) }) // at one place the longest one is replaced
	var pairs []string
	for _, form := range forms {
		if form = strings.Trim(form, `"`); form != "" {
			pairs = append(pairs, form, Mark)
		}
	}
	return strings.NewReplacer(pairs...)
}
