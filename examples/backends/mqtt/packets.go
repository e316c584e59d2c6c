package main

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/wechatws/wechatws"
)

// The first bytes of MQTT 3.1.1's packets: the type, and the flags.
const (
	connect   = 0x10
	connack   = 0x20
	publish   = 0x30 // with quality of service 0
	subscribe = 0x82
	pingreq   = 0xc0
	pingresp  = 0xd0
)

// connectAs encodes a CONNECT packet: a clean session, and a keep-alive of 10 s.
func connectAs(user, password string) wechatws.Binary {
	return packet(connect, field("MQTT"), []byte{4, 0xc2, 0, 10}, field(""), field(user), field(password))
}

// packet encodes a packet.
func packet(first byte, fields ...[]byte) wechatws.Binary {
	body := bytes.Join(fields, nil)
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

// field encodes a string with its length in front.
func field(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// is returns whether a message is a packet with this first byte.
func is(first byte) func(wechatws.Message) bool {
	return func(m wechatws.Message) bool { return m.Data[0] == first }
}

// admitted reports whether a CONNACK packet is a yes.
func admitted(connack wechatws.Message) bool {
	return bytes.HasSuffix(connack.Data, []byte{0})
}

// published returns the payload of a PUBLISH packet.
func published(m wechatws.Message) (payload []byte, ok bool) {
	_, n := binary.Uvarint(m.Data[1:])
	rest := m.Data[1+n:]
	if m.Data[0] != publish || len(rest) < 2 {
		return nil, false
	}
	topic := int(binary.BigEndian.Uint16(rest))
	return rest[min(2+topic, len(rest)):], true
}

const maxLength = 1 << 20

var errLength = errors.New("an MQTT packet of more than 1 MiB")

// packets cuts what a connection receives into packets: a WebSocket message may hold several
// of them, or a part of one.
func packets(int) func(wechatws.Message) ([]wechatws.Message, error) {
	var stream []byte
	return func(m wechatws.Message) (whole []wechatws.Message, err error) {
		stream = append(stream, m.Data...)
		for len(stream) > 1 {
			length, n := binary.Uvarint(stream[1:])
			if n < 0 || length > maxLength {
				return whole, errLength
			}
			end := 1 + n + int(length)
			if n == 0 || len(stream) < end {
				break
			}
			whole = append(whole, wechatws.Message{Data: stream[:end:end], Binary: true})
			stream = stream[end:]
		}
		return whole, nil
	}
}
