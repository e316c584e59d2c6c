package main

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"strings"

	json "github.com/go-json-experiment/json"

	"github.com/wechatws/wechatws"
)

// decoders are the ways to decode a message, by the name after the plus in a contender's name.
// The default is twice.
var decoders = map[string]func(v vocabulary, data []byte, t *tally) error{
	// Twice with encoding/json, as programs do: once for the type, once into the value.
	"twice": func(v vocabulary, data []byte, t *tally) error {
		var head struct {
			MsgType string `json:"msg_type"`
		}
		if err := stdjson.Unmarshal(data, &head); err != nil {
			return err
		}
		return v[head.MsgType].decode(stdjson.Unmarshal, data, t)
	},
	// Finds the type without decoding, and then decodes once.
	"std": func(v vocabulary, data []byte, t *tally) error {
		return peeked(v, data).reuse(stdjson.Unmarshal, data, t)
	},
	"v2": func(v vocabulary, data []byte, t *tally) error { return peeked(v, data).reuse(unmarshalV2, data, t) },
}

// peeked returns the kind of a message that is known to be valid and to begin with its type:
// the least that a router can do.
func peeked(v vocabulary, data []byte) kind {
	rest := data[len(`{"msg_type":"`):]
	return v[string(rest[:bytes.IndexByte(rest, '"')])]
}

func unmarshalV2(data []byte, v any) error { return json.Unmarshal(data, v) }

// codecV2 is json v2 as a codec of the client.
type codecV2 struct{}

func (codecV2) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (codecV2) Unmarshal(data []byte, v any) error { return unmarshalV2(data, v) }

func (b *bench) dispatch() []trial {
	n := b.times(200_000)
	one := func(workload, title string, v vocabulary, names ...string) trial {
		t := trial{
			workload: workload, title: title,
			note: figure(float64(n), 0) + " live-room messages, each decoded into its type and handed to a callback. +twice is two passes of encoding/json, +std a look at the type and one, " +
				"+v2 a look at the type and json v2. The floor is raw with the same decoder.",
			columns: []column{{metric: cpuPer, spread: true, ratio: true, lead: true}, {metric: wallPer}, {metric: allocsPer, digits: 2}, {metric: bytesPer}, {metric: readsPer, digits: 3}},
			chart:   cpuPer,
			run:     func(e entry) (result, error) { return b.dispatchOnce(v, e) },
		}
		for _, name := range names {
			t.entries = append(t.entries, entry{name: name, size: n, floor: "raw+" + decoderOf(name)})
		}
		return t
	}
	return []trial{
		one("W1", "typed dispatch", plain, "raw+v2", "raw+std", "raw+twice", "gorilla", "coder", "nhooyr", "gobwas", "gws", "wechatws", "wechatws+v2"),
		one("W1t", "typed dispatch, the tolerant types of package liveroom", tolerant, "raw+v2", "raw+std", "raw+twice", "gorilla", "wechatws", "wechatws+v2"),
	}
}

// decoderOf returns the decoder of an entry: that of the client for wechatws without a plus.
func decoderOf(name string) string {
	contender, decoder, _ := strings.Cut(name, "+")
	switch {
	case decoder != "":
		return decoder
	case contender == "wechatws":
		return defaultCodec
	}
	return "twice"
}

// defaultCodec is the decoder that the client has by default.
const defaultCodec = "v2"

func (b *bench) dispatchOnce(v vocabulary, e entry) (result, error) {
	url := b.server.url(fmt.Sprintf("/feed?n=%d", e.size))
	t := newTally(e.size)
	name, decoder, _ := strings.Cut(e.name, "+")
	dial := contenderOf(name).dial
	var work func(c conn) error
	if name == "wechatws" {
		var options []wechatws.Option
		if decoder == "v2" {
			options = append(options, wechatws.WithCodec(codecV2{}))
		}
		var ended = make(chan error, 1)
		dial = func(url string) (conn, error) { return connectTyped(url, v, t, ended, options) }
		work = func(c conn) error {
			if err := c.send(begin); err != nil {
				return err
			}
			select {
			case <-t.done:
				return nil
			case err := <-ended:
				return err
			}
		}
	} else {
		decode := decoders[decoderOf(e.name)]
		work = func(c conn) error {
			return receive(c, e.size, func() error { return c.send(begin) },
				func(data []byte) error { return decode(v, data, t) })
		}
	}
	c, err := dial(url)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r, err := measure(e.size, func() error { return work(c) })
	if err != nil {
		return nil, err
	}
	return r, room().check(t, true)
}

// begin is the message that the feeding server waits for.
var begin = []byte(`{"msg_type":"begin"}`)

// connectTyped registers a callback for each type.
func connectTyped(url string, v vocabulary, t *tally, ended chan<- error, options []wechatws.Option) (conn, error) {
	return connectWechatws(url, func(client *wechatws.Client) {
		for _, k := range v {
			k.register(client, t)
		}
		failWith(client, ended)
	}, options...)
}
