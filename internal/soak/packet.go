package main

import (
	"encoding/json"
	"strings"
)

// The types of packet.
const (
	login        = "login"        // the first of each connection, with the client's number
	plain        = "plain"        // by Send
	confirmed    = "confirmed"    // by SendConfirmed
	confirmation = "confirmation" // the server's answer to it
	news         = "news"         // sent by the server at intervals
)

// A packet is a message of this protocol. Heartbeats are not packets, since they have no
// number.
type packet struct {
	Type    string `json:"msg_type"`
	Client  int    `json:"client"`
	Link    int    `json:"link,omitempty"` // login and news: the number of the connection
	Number  int    `json:"number"`         // from 1; plain and confirmed are counted separately, news on each connection
	Padding string `json:"padding,omitempty"`
}

// numbered reports whether p must not be lost.
func (p packet) numbered() bool { return p.Type == plain || p.Type == confirmed }

// bare returns p without the padding, so that it can be retained.
func (p packet) bare() packet {
	p.Padding = ""
	return p
}

func readPacket(data []byte) (p packet, err error) {
	err = json.Unmarshal(data, &p)
	return p, err
}

func padding(bytes int) string { return strings.Repeat("x", bytes) }
