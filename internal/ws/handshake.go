package ws

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Handshake is the request for a WebSocket connection.
type Handshake struct {
	// Client makes the request; nil: [http.DefaultClient]. Its Timeout must be zero.
	Client       *http.Client
	URL          string // ws, wss, http or https
	Header       http.Header
	Subprotocols []string // to be offered, the preferred one first
	Compression  bool     // offer permessage-deflate without context takeover
	// Socket returns the Socket that the last connection of Client was made with, or nil. It is
	// called after a valid answer, and may be nil.
	Socket func() *Socket
}

const (
	extension = "permessage-deflate"
	// maxRefusal is how much is read of the body of a refusal, and refusalTime for how long.
	maxRefusal  = 1 << 10
	refusalTime = 3 * time.Second
)

// Dial performs the handshake. The response has no body if it is valid. Otherwise, if there is
// one, its body holds up to 1 KiB of the server's, but nothing after a 101.
func Dial(ctx context.Context, h Handshake) (*Conn, *http.Response, error) {
	key := make([]byte, 16)
	_, _ = rand.Read(key) // never fails
	req, err := h.request(ctx, base64.StdEncoding.EncodeToString(key))
	if err != nil {
		return nil, nil, err
	}
	resp, err := h.client().Do(req)
	if err != nil {
		return nil, nil, err
	}
	body := resp.Body
	resp.Body = http.NoBody
	if resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = io.NopCloser(bytes.NewReader(readRefusal(body)))
		return nil, resp, fmt.Errorf("status %d instead of 101", resp.StatusCode)
	}
	agreed, err := h.accept(resp, req.Header.Get("Sec-WebSocket-Key"))
	rw, ok := body.(io.ReadWriteCloser)
	if err == nil && !ok {
		err = fmt.Errorf("response body of type %T: cannot be written to", body)
	}
	if err != nil {
		body.Close() // it is the connection: no text follows
		return nil, resp, err
	}
	var socket *Socket
	if h.Socket != nil {
		socket = h.Socket()
	}
	return NewConn(rw, socket, agreed), resp, nil
}

// request returns the request of the handshake.
func (h *Handshake) request(ctx context.Context, key string) (*http.Request, error) {
	u, err := url.Parse(h.URL)
	if err != nil {
		return nil, err
	}
	if err := toHTTP(u); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for name, values := range h.Header {
		req.Header[name] = slices.Clone(values)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", key)
	if len(h.Subprotocols) > 0 {
		req.Header.Set("Sec-WebSocket-Protocol", strings.Join(h.Subprotocols, ", "))
	}
	if h.Compression {
		req.Header.Set("Sec-WebSocket-Extensions", extension+"; client_no_context_takeover; server_no_context_takeover")
	}
	return req, nil
}

// client returns the client, with redirects to URLs of ws and wss.
func (h *Handshake) client() *http.Client {
	client := *http.DefaultClient
	if h.Client != nil {
		client = *h.Client
	}
	check := client.CheckRedirect
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if err := toHTTP(req.URL); err != nil {
			return err
		}
		if check != nil {
			return check(req, via)
		}
		if len(via) >= 10 { // as net/http does
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
	return &client
}

// toHTTP replaces the scheme of a WebSocket URL.
func toHTTP(u *url.URL) error {
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return fmt.Errorf("scheme %q: must be ws or wss", u.Scheme)
	}
	return nil
}

// readRefusal reads the beginning of the body of a refusal, and closes it.
func readRefusal(body io.ReadCloser) []byte {
	defer body.Close()
	defer time.AfterFunc(refusalTime, func() { body.Close() }).Stop()
	p, _ := io.ReadAll(io.LimitReader(body, maxRefusal))
	return p
}

// accept checks a 101, and returns what it agrees on: RFC 6455, section 4.1.
func (h *Handshake) accept(resp *http.Response, key string) (agreed Agreed, err error) {
	digest := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	header := resp.Header
	switch {
	case !resp.ProtoAtLeast(1, 1):
		return agreed, fmt.Errorf("%s: must be HTTP/1.1", resp.Proto)
	case !slices.ContainsFunc(list(header, "Upgrade"), func(v string) bool { return strings.EqualFold(v, "websocket") }):
		return agreed, fmt.Errorf("header Upgrade %q: must contain websocket", header.Values("Upgrade"))
	case !slices.ContainsFunc(list(header, "Connection"), func(v string) bool { return strings.EqualFold(v, "upgrade") }):
		return agreed, fmt.Errorf("header Connection %q: must contain Upgrade", header.Values("Connection"))
	case header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(digest[:]):
		return agreed, fmt.Errorf("header Sec-WebSocket-Accept %q: does not answer the key", header.Values("Sec-WebSocket-Accept"))
	}
	protocols := header.Values("Sec-WebSocket-Protocol")
	agreed.Subprotocol = strings.Join(protocols, ",")
	offered := slices.ContainsFunc(h.Subprotocols, func(v string) bool { return strings.EqualFold(v, agreed.Subprotocol) })
	if agreed.Subprotocol != "" && !offered {
		return agreed, fmt.Errorf("header Sec-WebSocket-Protocol %q: was not offered", protocols)
	}
	return agreed, h.acceptExtensions(list(header, "Sec-WebSocket-Extensions"), &agreed)
}

// acceptExtensions checks the extensions that the server has chosen: RFC 7692, section 7.1. If
// compression was offered, an error is a [*ProtocolError]: the server may do without the offer.
func (h *Handshake) acceptExtensions(chosen []string, agreed *Agreed) error {
	wrong := func(format string, args ...any) error {
		return &ProtocolError{Code: codeProtocol, Deflate: h.Compression, text: fmt.Sprintf(format, args...)}
	}
	for _, c := range chosen {
		name, params, _ := strings.Cut(c, ";")
		switch name = strings.TrimSpace(name); {
		case !strings.EqualFold(name, extension) || !h.Compression:
			return wrong("extension %q: was not offered", name)
		case agreed.Compressed:
			return wrong("extension %q: chosen twice", name)
		}
		agreed.Compressed, agreed.ServerTakeover = true, true
		seen := map[string]bool{}
		for param := range strings.SplitSeq(params, ";") {
			name, value, hasValue := strings.Cut(strings.TrimSpace(param), "=")
			if seen[name] {
				return wrong("parameter %q of %s: given twice", name, extension)
			}
			seen[name] = true
			switch {
			case name == "" && params == "":
			case name == "server_no_context_takeover" && !hasValue:
				agreed.ServerTakeover = false
			case name == "client_no_context_takeover" && !hasValue:
			case name == "server_max_window_bits" && validBits(value): // may come without an offer
			default:
				return wrong("parameter %q of %s: not accepted", param, extension)
			}
		}
	}
	return nil
}

// validBits reports whether v is the size of a window, 8 to 15.
func validBits(v string) bool {
	if unquoted, ok := strings.CutPrefix(v, `"`); ok {
		v, ok = strings.CutSuffix(unquoted, `"`)
		if !ok {
			return false
		}
	}
	n, err := strconv.Atoi(v)
	return err == nil && 8 <= n && n <= 15 && v == strconv.Itoa(n)
}

// list returns the elements of a header that is a list.
func list(header http.Header, name string) (elements []string) {
	for _, v := range header.Values(name) {
		for e := range strings.SplitSeq(v, ",") {
			if e = strings.TrimSpace(e); e != "" {
				elements = append(elements, e)
			}
		}
	}
	return elements
}
