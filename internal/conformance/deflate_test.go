package conformance

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// A rule is how the server answers an offer of permessage-deflate: it accepts the first of
// these responses that an offer allows, and declines if there is none.
type rule []response

// A response is what the server answers, besides what the offer demands of it.
type response struct {
	noContext bool   // client_no_context_takeover
	bits      int    // client_max_window_bits; 0: left out
	more      string // a parameter that needs no offer
	takeover  bool   // server_no_context_takeover is left out although it was offered
}

// acceptAny accepts an offer without limits for the client.
var acceptAny = rule{{}}

// negotiate returns what was negotiated, and the answer; nil if no offer was accepted. Of the
// parameters about the server's frames it accepts those that compress/flate can obey.
func (r rule) negotiate(header string) (*deflate, string) {
	for _, response := range r {
		for offer := range strings.SplitSeq(header, ",") {
			name, rest, _ := strings.Cut(offer, ";")
			offered := map[string]string{}
			for parameter := range strings.SplitSeq(rest, ";") {
				key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
				offered[key] = value
			}
			if response.takeover {
				delete(offered, "server_no_context_takeover")
			}
			has := func(name string) bool { _, ok := offered[name]; return ok }
			switch {
			case strings.TrimSpace(name) != "permessage-deflate",
				response.noContext && !has("client_no_context_takeover"),
				response.bits != 0 && !has("client_max_window_bits"),
				has("server_max_window_bits") && offered["server_max_window_bits"] != "15":
				continue
			}
			answer := []string{"permessage-deflate"}
			for _, about := range []string{"server_no_context_takeover", "server_max_window_bits"} {
				if has(about) {
					answer = append(answer, strings.TrimSuffix(about+"="+offered[about], "="))
				}
			}
			if response.noContext {
				answer = append(answer, "client_no_context_takeover")
			}
			if response.bits != 0 {
				answer = append(answer, fmt.Sprint("client_max_window_bits=", response.bits))
			}
			if response.more != "" {
				answer = append(answer, response.more)
			}
			return newDeflate(!has("server_no_context_takeover"), !response.noContext), strings.Join(answer, "; ")
		}
	}
	return nil, ""
}

// A deflate compresses the server's messages, and decompresses the client's.
type deflate struct {
	keeps  bool // the server compresses with what earlier messages had
	out    bytes.Buffer
	writer *flate.Writer

	window []byte // the end of what the client has sent; nil: each message stands alone
}

// windowSize is how far back a compressed message may refer.
const windowSize = 32 << 10

// writers are reused: a new one is 1 MiB, which the race detector makes expensive.
var writers = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed)
	return w
}}

func newDeflate(serverContext, clientContext bool) *deflate {
	d := &deflate{keeps: serverContext, writer: writers.Get().(*flate.Writer)}
	d.writer.Reset(&d.out)
	if clientContext {
		d.window = make([]byte, 0, windowSize)
	}
	return d
}

func (d *deflate) deflate(payload string) string {
	d.out.Reset()
	if !d.keeps {
		d.writer.Reset(&d.out)
	}
	_, _ = io.WriteString(d.writer, payload)
	_ = d.writer.Flush()
	return strings.TrimSuffix(d.out.String(), "\x00\x00\xff\xff")
}

// release must be called last.
func (d *deflate) release() { writers.Put(d.writer) }

func (d *deflate) inflate(data []byte) (string, error) {
	// What every message leaves out, and an empty last block.
	whole := io.MultiReader(bytes.NewReader(data), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))
	inflated, err := io.ReadAll(flate.NewReaderDict(whole, d.window))
	if err == nil && d.window != nil {
		d.window = append(d.window, inflated...)
		d.window = slices.Clone(d.window[max(0, len(d.window)-windowSize):])
	}
	return string(inflated), err
}

// pack returns the frames of a message, compressed if that was negotiated.
func (p *peer) pack(m message, fragment int) []string {
	if p.deflate == nil {
		return fragments(m.opcode, m.payload, fragment)
	}
	return fragments(m.opcode|rsv1, p.deflate.deflate(m.payload), fragment)
}
