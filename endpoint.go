package wechatws

import (
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wechatws/wechatws/internal/printable"
)

// An Endpoint is the URL and the header of an attempt, as the function of [WithEndpoint]
// returns it. Printed and in a log it shows the URL's scheme and host only.
type Endpoint struct {
	URL    string      // ws or wss; http and https are taken as those
	Header http.Header // added to the header of WithHeader, of which it replaces the same names; may be nil
}

// parseURL reads a WebSocket URL. Its errors show at most scheme and host.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // its text holds the whole URL
			err = ue.Err
		}
		why, _, _ := strings.Cut(err.Error(), `"`) // it quotes a part of the URL, perhaps a password
		return nil, wrong("url", printable.NotShown, "cannot be parsed: "+strings.TrimRight(why, " ("))
	}
	shown := printable.Quote(shownURL(u))
	if shown == `""` && raw != "" {
		shown = printable.NotShown
	}
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return nil, wrong("url", shown, "scheme must be ws or wss (http and https are taken as those)")
	}
	switch port, err := strconv.Atoi(u.Port()); {
	case u.Hostname() == "":
		return nil, wrong("url", shown, "host is missing")
	case !isHost(u):
		return nil, wrong("url", shown, "host must be a name or an IP address, one of IPv6 in brackets")
	case u.Port() != "" && (err != nil || port < 1 || port > 65535):
		return nil, wrong("url", shown, "port must be from 1 to 65535")
	case u.Fragment != "":
		return nil, wrong("url", shown, "a WebSocket URL has no fragment (#…)")
	}
	return u, nil
}

// isHost reports whether the URL's host is an IP address or may be a name. The labels of a
// name consist of letters, digits, hyphens and underscores, which the resolver of package net
// accepts, and of non-ASCII characters, which net/http encodes.
func isHost(u *url.URL) bool {
	if strings.HasPrefix(u.Host, "[") {
		_, err := netip.ParseAddr(u.Hostname())
		return err == nil
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(u.Hostname(), "."), ".") {
		if label == "" || !utf8.ValidString(label) || strings.ContainsFunc(label, func(r rune) bool {
			letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r >= utf8.RuneSelf
			return !letter && !('0' <= r && r <= '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}

// mergedHeader returns the header of one attempt, with canonical names. A name in a later
// header replaces the same name in an earlier one.
func (c *config) mergedHeader(own ...http.Header) http.Header {
	merged := http.Header{}
	for _, h := range append([]http.Header{c.header}, own...) {
		for _, name := range slices.Sorted(maps.Keys(h)) { // a trace may have written one name in two ways
			merged[http.CanonicalHeaderKey(name)] = slices.Clone(h[name])
		}
	}
	return merged
}

// checkHeader returns the errors in a header given to option. They do not show values, which
// hold tokens and cookies.
func checkHeader(option string, h http.Header) error {
	var errs []error
	seen := map[string]string{} // by the canonical name
	for _, name := range slices.Sorted(maps.Keys(h)) {
		want := ""
		switch canonical := http.CanonicalHeaderKey(name); {
		case !isToken(name): // shown up to the first bad character: after a colon there is a value
			good := strings.IndexFunc(name, notToken)
			name, want = printable.Quote(name[:max(good, 0)]+"…"), "the name of a header must be an HTTP token such as \"X-Room\""
		case canonical == "Sec-Websocket-Protocol":
			want = "use WithSubprotocols"
		case canonical == "Host":
			want = "the host is the URL's; WithNetDial connects to another address"
		case isHandshake(canonical):
			want = "this header belongs to the handshake"
		case slices.ContainsFunc(h[name], hasControl):
			want = "a value must be one line without control characters"
		case seen[canonical] != "":
			want = seen[canonical] + " is the same name, give it once"
		default:
			seen[canonical] = name
			continue
		}
		errs = append(errs, wrong(option, name, want))
	}
	return errors.Join(errs...)
}

// isHandshake reports whether the handshake itself sets a header.
func isHandshake(canonical string) bool {
	switch canonical {
	case "Connection", "Upgrade", "Content-Length", "Transfer-Encoding", "Trailer":
		return true
	}
	return strings.HasPrefix(canonical, "Sec-Websocket-")
}

// hasControl reports whether a header's value has characters that net/http refuses to send.
func hasControl(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// isToken reports whether s is an HTTP token, as names of headers and subprotocols are.
func isToken(s string) bool { return s != "" && !strings.ContainsFunc(s, notToken) }

func notToken(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
}
