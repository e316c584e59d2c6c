package liveroom

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/printable"
)

// incoming are the messages from the server. It and the MsgType methods below tie each
// msg_type to its Go type.
var incoming = map[string]func(wechatws.Message) (Event, error){
	InitEvent{}.MsgType():      decode[InitEvent],
	JoinEvent{}.MsgType():      decode[JoinEvent],
	Comment{}.MsgType():        decode[Comment],
	SubscribeEvent{}.MsgType(): decode[SubscribeEvent],
	LeaveEvent{}.MsgType():     decode[LeaveEvent],
	BuyEvent{}.MsgType():       decode[BuyEvent],
	ShelfEvent{}.MsgType():     decode[ShelfEvent],
}

// MsgType returns the value of the field msg_type.
func (InitEvent) MsgType() string      { return "init" }
func (JoinEvent) MsgType() string      { return "join" }
func (JoinCommand) MsgType() string    { return "join" }
func (Comment) MsgType() string        { return "message" }
func (CommentCommand) MsgType() string { return "message" }
func (SubscribeEvent) MsgType() string { return "subscribe" }
func (LeaveEvent) MsgType() string     { return "leave" }
func (BuyEvent) MsgType() string       { return "buy" }
func (ShelfEvent) MsgType() string     { return "on_off_shelf" }
func (ShelfCommand) MsgType() string   { return "on_off_shelf" }
func (PingCommand) MsgType() string    { return "ping" }

// An Event is a message from the server: an [InitEvent], [JoinEvent], [Comment], [SubscribeEvent],
// [LeaveEvent], [BuyEvent] or [ShelfEvent].
type Event interface{ MsgType() string }

// Decode decodes a message by its type. The error, for a message that does not fit its
// type and for a type that this package does not know, is a [*wechatws.DecodeError]. The
// fields Own and Ghost are not set: that takes a [Room].
func Decode(m wechatws.Message) (Event, error) {
	decode, ok := incoming[m.Type]
	if !ok {
		return nil, &wechatws.DecodeError{Type: m.Type, Data: m.Data, Err: fmt.Errorf("liveroom: unknown message type %s", printable.Quote(m.Type))}
	}
	return decode(m)
}

func decode[T Event](m wechatws.Message) (Event, error) {
	var v T
	if err := m.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}

// A Sender is what a message may contain about its sender. In many messages it is empty.
type Sender struct {
	ClientID Value `json:"client_id"`
	FromUID  Value `json:"from_uid"`
	FromName Text  `json:"from_name"`
}

// An InitEvent is the first message from the server: it assigns a client_id to the connection and
// asks for a join.
type InitEvent struct{ Sender }

// A JoinEvent is sent when a member has joined. The first one on a connection is the answer to
// this client's own join.
type JoinEvent struct {
	Sender
	MsgContent   Text    `json:"msg_content"`
	OnlineNum    *Number `json:"online_num"`
	SubscribeNum *Number `json:"subscribe_num"` // nil: absent
	MessageList  History `json:"message_list"`

	// Own reports whether it is about this member. It is set by [Room].
	Own bool `json:"-"`
}

// Comment is a comment in the room. In a [History], Sender.FromName may also be the field
// name.
type Comment struct {
	Sender
	Content Text `json:"content"`

	// Own reports whether it is from this member. It is set by [Room].
	Own bool `json:"-"`
}

// A SubscribeEvent is sent when the room has a new follower.
type SubscribeEvent struct {
	Sender
	MsgContent   Text    `json:"msg_content"`
	SubscribeNum *Number `json:"subscribe_num"`
}

// A LeaveEvent is sent when a member has left.
type LeaveEvent struct {
	Sender
	MsgContent Text `json:"msg_content"`

	// Own reports whether it is about this member, and Ghost whether it is about an
	// earlier connection of this member: servers notice the end of a connection late,
	// and report it after the member has joined again. They are set by [Room].
	Own   bool `json:"-"`
	Ghost bool `json:"-"`
}

// A BuyEvent is sent when a member has bought something.
type BuyEvent struct {
	Sender
	MsgContent Text `json:"msg_content"`
}

// A ShelfEvent is sent when goods were put on the shelf or taken off it.
type ShelfEvent struct {
	Sender
	RoomID       Value `json:"room_id"`
	LiveID       Value `json:"live_id"`
	GoodsID      Value `json:"goods_id"`
	GoodsName    Text  `json:"goods_name"`
	GoodsPrice   Value `json:"goods_price"`
	DefaultImage Text  `json:"default_image"`
	Status       Text  `json:"status"` // ShelfOn or ShelfOff
}

// The values of [ShelfEvent].Status and [ShelfCommand].Status.
const (
	ShelfOn  = "on"
	ShelfOff = "off"
)

// Goods returns the goods that the message is about.
func (s ShelfEvent) Goods() Goods {
	return Goods{ID: s.GoodsID, Name: string(s.GoodsName), Price: s.GoodsPrice, Image: string(s.DefaultImage)}
}

// Goods are an article for sale.
type Goods struct {
	ID    Value
	Name  string
	Price Value
	Image string // a URL
}

// PingCommand is the heartbeat, which a [wechatws.Client] sends by itself.
type PingCommand struct{}

// JoinCommand asks to join a room. A [Room] sends it by itself.
type JoinCommand struct {
	RoomID   Value  `json:"room_id"`
	LiveID   Value  `json:"live_id"`
	FromUID  Value  `json:"from_uid"`
	ClientID Value  `json:"client_id"`
	IsAnchor bool   `json:"is_anchor"`
	FromName string `json:"from_name"`
}

// CommentCommand sends a comment to the room; see [Room.Say].
type CommentCommand struct {
	RoomID   Value  `json:"room_id"`
	LiveID   Value  `json:"live_id"`
	FromUID  Value  `json:"from_uid"`
	ClientID Value  `json:"client_id"`
	FromName string `json:"from_name"`
	Content  string `json:"content"`
}

// ShelfCommand puts goods on the shelf or takes them off it; see [Room.PutOnShelf] and
// [Room.TakeOffShelf].
type ShelfCommand struct {
	RoomID       Value  `json:"room_id"`
	LiveID       Value  `json:"live_id"`
	FromUID      Value  `json:"from_uid"`
	ClientID     Value  `json:"client_id"`
	FromName     string `json:"from_name"`
	GoodsID      Value  `json:"goods_id"`
	GoodsName    string `json:"goods_name"`
	GoodsPrice   Value  `json:"goods_price"`
	DefaultImage string `json:"default_image"`
	Status       string `json:"status"`
}

// The commands are encoded with their msg_type.

// MarshalJSON implements [json.Marshaler].
func (c PingCommand) MarshalJSON() ([]byte, error) { return marshal(c.MsgType(), struct{}{}) }

// MarshalJSON implements [json.Marshaler].
func (c JoinCommand) MarshalJSON() ([]byte, error) {
	type fields JoinCommand
	return marshal(c.MsgType(), fields(c))
}

// MarshalJSON implements [json.Marshaler].
func (c CommentCommand) MarshalJSON() ([]byte, error) {
	type fields CommentCommand
	return marshal(c.MsgType(), fields(c))
}

// MarshalJSON implements [json.Marshaler].
func (c ShelfCommand) MarshalJSON() ([]byte, error) {
	type fields ShelfCommand
	return marshal(c.MsgType(), fields(c))
}

// marshal writes the type ahead of the fields.
func marshal(msgType string, fields any) ([]byte, error) {
	head, err := json.Marshal(struct {
		MsgType string `json:"msg_type"`
	}{msgType})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // as the client does
	if err := encoder.Encode(fields); err != nil {
		return nil, err
	}
	rest := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(rest) == len("{}") {
		return head, nil
	}
	return append(append(head[:len(head)-1], ','), rest[1:]...), nil
}
