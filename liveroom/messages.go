package liveroom

import (
	"encoding/json"
	"fmt"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/printable"
)

// incoming are the messages from the server. Together with the MsgType methods
// below it is the place that ties each msg_type to its Go type.
var incoming = map[string]func(wechatws.Message) (Incoming, error){
	Init{}.MsgType():      decode[Init],
	Join{}.MsgType():      decode[Join],
	Comment{}.MsgType():   decode[Comment],
	Subscribe{}.MsgType(): decode[Subscribe],
	Leave{}.MsgType():     decode[Leave],
	Buy{}.MsgType():       decode[Buy],
	Shelf{}.MsgType():     decode[Shelf],
}

// MsgType is the value of the field msg_type.
func (Init) MsgType() string           { return "init" }
func (Join) MsgType() string           { return "join" }
func (JoinCommand) MsgType() string    { return "join" }
func (Comment) MsgType() string        { return "message" }
func (CommentCommand) MsgType() string { return "message" }
func (Subscribe) MsgType() string      { return "subscribe" }
func (Leave) MsgType() string          { return "leave" }
func (Buy) MsgType() string            { return "buy" }
func (Shelf) MsgType() string          { return "on_off_shelf" }
func (ShelfCommand) MsgType() string   { return "on_off_shelf" }
func (PingCommand) MsgType() string    { return "ping" }

// Incoming is a message from the server: Init, Join, Comment, Subscribe, Leave,
// Buy or Shelf.
type Incoming interface{ MsgType() string }

// Read decodes a message by its type. The error is a *wechatws.DecodeError when
// the message does not fit its type; for a type that this package does not know it
// says so. Own and Ghost are not set: only a Room knows.
func Read(m wechatws.Message) (Incoming, error) {
	read, ok := incoming[m.Type]
	if !ok {
		return nil, &wechatws.DecodeError{Type: m.Type, Data: m.Data, Err: fmt.Errorf("liveroom: unknown message type %s", printable.Quote(m.Type))}
	}
	return read(m)
}

func decode[T Incoming](m wechatws.Message) (Incoming, error) {
	var v T
	if err := m.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}

// A Sender is what any message may say about whom it comes from. Often it says
// nothing.
type Sender struct {
	ClientID Value `json:"client_id"`
	FromUID  Value `json:"from_uid"`
	FromName Text  `json:"from_name"`
}

// Init is the server's first word: it gives this connection its client_id, and
// waits for a join.
type Init struct{ Sender }

// Join tells that somebody has joined. The first one on a connection is the answer
// to our own join.
type Join struct {
	Sender
	MsgContent   Text    `json:"msg_content"`
	OnlineNum    *Number `json:"online_num"`
	SubscribeNum *Number `json:"subscribe_num"` // nil: not said
	MessageList  History `json:"message_list"`

	// Own tells that it is about ourselves. Room sets it.
	Own bool `json:"-"`
}

// Comment is something said in the room. In a history, Sender.FromName is read
// from name as well.
type Comment struct {
	Sender
	Content Text `json:"content"`

	// Own tells that we have said it. Room sets it.
	Own bool `json:"-"`
}

// Subscribe tells of a new follower.
type Subscribe struct {
	Sender
	MsgContent   Text    `json:"msg_content"`
	SubscribeNum *Number `json:"subscribe_num"`
}

// Leave tells that somebody has left.
type Leave struct {
	Sender
	MsgContent Text `json:"msg_content"`

	// Own tells that it is about ourselves, and Ghost that it is our last
	// connection that has left: servers notice its end late, and tell of it
	// after we have come back. Room sets them.
	Own   bool `json:"-"`
	Ghost bool `json:"-"`
}

// Buy tells that somebody has bought something.
type Buy struct {
	Sender
	MsgContent Text `json:"msg_content"`
}

// Shelf tells that goods were put on the shelf or taken off it.
type Shelf struct {
	Sender
	RoomID       Value `json:"room_id"`
	LiveID       Value `json:"live_id"`
	GoodsID      Value `json:"goods_id"`
	GoodsName    Text  `json:"goods_name"`
	GoodsPrice   Value `json:"goods_price"`
	DefaultImage Text  `json:"default_image"`
	Status       Text  `json:"status"` // on or off
}

// The two values of Shelf.Status.
const (
	ShelfOn  = "on"
	ShelfOff = "off"
)

// Goods are what the message is about.
func (s Shelf) Goods() Goods {
	return Goods{ID: s.GoodsID, Name: string(s.GoodsName), Price: s.GoodsPrice, Image: string(s.DefaultImage)}
}

// Goods are something for sale.
type Goods struct {
	ID    Value
	Name  string
	Price Value
	Image string // a URL
}

// PingCommand is the heartbeat, which a wechatws.Client sends by itself.
type PingCommand struct{}

// JoinCommand asks to be let into the room. Room sends it by itself.
type JoinCommand struct {
	RoomID   Value  `json:"room_id"`
	LiveID   Value  `json:"live_id"`
	FromUID  Value  `json:"from_uid"`
	ClientID Value  `json:"client_id"`
	IsAnchor bool   `json:"is_anchor"`
	FromName string `json:"from_name"`
}

// CommentCommand says something in the room; see Room.Say.
type CommentCommand struct {
	RoomID   Value  `json:"room_id"`
	LiveID   Value  `json:"live_id"`
	FromUID  Value  `json:"from_uid"`
	ClientID Value  `json:"client_id"`
	FromName string `json:"from_name"`
	Content  string `json:"content"`
}

// ShelfCommand puts goods on the shelf or takes them off it; see Room.ShelfOn and
// Room.ShelfOff.
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

// The commands are written with their msg_type, so that nobody can forget it.

// MarshalJSON implements json.Marshaler.
func (c PingCommand) MarshalJSON() ([]byte, error) { return marshal(c.MsgType(), struct{}{}) }

// MarshalJSON implements json.Marshaler.
func (c JoinCommand) MarshalJSON() ([]byte, error) {
	type fields JoinCommand
	return marshal(c.MsgType(), fields(c))
}

// MarshalJSON implements json.Marshaler.
func (c CommentCommand) MarshalJSON() ([]byte, error) {
	type fields CommentCommand
	return marshal(c.MsgType(), fields(c))
}

// MarshalJSON implements json.Marshaler.
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
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	if len(rest) == len("{}") {
		return head, nil
	}
	return append(append(head[:len(head)-1], ','), rest[1:]...), nil
}
