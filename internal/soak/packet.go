package main

import (
	"encoding/json"
	"strings"
)

// The types of packet.
const (
	login        = "login"        // the first of each connection: who it is
	plain        = "plain"        // by Send
	confirmed    = "confirmed"    // by SendConfirmed
	confirmation = "confirmation" // the server's answer to it
	news         = "news"         // from the server, unasked
)

// A packet is every message of this protocol. Heartbeats are none: they have no
// number.
type packet struct {
	Type    string `json:"msg_type"`
	Client  int    `json:"client"`
	Link    int    `json:"link,omitempty"` // login and news: the number of the connection
	Number  int    `json:"number"`         // from 1; plain and confirmed count on their own, news on each connection
	Padding string `json:"padding,omitempty"`
}

// numbered tells whether it is one of those that must not be lost.
func (p packet) numbered() bool { return p.Type == plain || p.Type == confirmed }

// bare is p without the padding, to be kept.
func (p packet) bare() packet {
	p.Padding = ""
	return p
}

func readPacket(data []byte) (p packet, err error) {
	err = json.Unmarshal(data, &p)
	return p, err
}

func padding(bytes int) string { return strings.Repeat("x", bytes) }
