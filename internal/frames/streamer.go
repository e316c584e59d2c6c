package frames

import "net/http"

// A Streamer is a WebSocket connection of this module's own dialers. Only these may be
// bypassed: a connection of a user's dialer, which may wrap one of these, sees every message.
type Streamer interface {
	Stream() *Stream // the one that the library reads from, or nil
}

// A Finder finds the [Stream] that a library is going to read from. It does not find one that
// a user's transport has wrapped, which must see every frame.
type Finder struct {
	http.RoundTripper
	Stream *Stream // of the last response, or nil
}

// Find returns a copy of client for one handshake.
func Find(client *http.Client) (*http.Client, *Finder) {
	f := &Finder{RoundTripper: http.DefaultTransport}
	var c http.Client
	if client != nil {
		c = *client
	}
	if c.Transport != nil {
		f.RoundTripper = c.Transport
	}
	c.Transport = f
	return &c, f
}

// RoundTrip implements [http.RoundTripper].
func (f *Finder) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.RoundTripper.RoundTrip(r)
	f.Stream = nil
	if err == nil {
		f.Stream, _ = resp.Body.(*Stream)
	}
	return resp, err
}
