package inspect

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/wechatws/wechatws/internal/printable"
)

const (
	recentErrors   = 8
	longestError   = 300 // bytes
	libraryPrefix  = "wechatws: "
	noRecentErrors = "[]"
)

// recent are a client's last errors. A repeated error, as in an outage, is one entry with a
// count, so that it does not displace those before it.
type recent struct {
	list   []happened // oldest first
	cached string     // what json returned, until something changes
}

type happened struct {
	At    int64  `json:"at"` // unix ms, the last time
	Text  string `json:"text"`
	Times int    `json:"times"`
}

func (r *recent) add(at time.Time, text string) {
	r.cached = ""
	if n := len(r.list); n > 0 && r.list[n-1].Text == text {
		r.list[n-1].At = at.UnixMilli()
		r.list[n-1].Times++
		return
	}
	if len(r.list) == recentErrors {
		r.list = append(r.list[:0], r.list[1:]...)
	}
	r.list = append(r.list, happened{at.UnixMilli(), text, 1})
}

func (r *recent) newest() string {
	if len(r.list) == 0 {
		return ""
	}
	return r.list[len(r.list)-1].Text
}

// json returns the errors for the page, oldest first.
func (r *recent) json() string {
	if len(r.list) == 0 {
		return noRecentErrors
	}
	if r.cached == "" {
		b, _ := json.Marshal(r.list) // numbers and strings always have JSON
		r.cached = string(b)
	}
	return r.cached
}

// plain returns an error's text without the library's name, cut to longestError: a program's
// own errors may have any length.
func plain(err error) string {
	text := printable.Cut(strings.TrimPrefix(err.Error(), libraryPrefix), longestError)
	return strings.Clone(text) // not a part of something longer
}
