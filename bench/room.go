package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

// The messages of a live room, as a program would declare them.
type (
	Comment struct {
		FromName string `json:"from_name"`
		Content  string `json:"content"`
	}
	Subscribe struct {
		MsgContent   string `json:"msg_content"`
		SubscribeNum int    `json:"subscribe_num"`
	}
	Join struct {
		MsgContent   string    `json:"msg_content"`
		OnlineNum    int       `json:"online_num"`
		SubscribeNum int       `json:"subscribe_num"`
		MessageList  []Comment `json:"message_list"`
	}
	Leave struct {
		MsgContent string `json:"msg_content"`
	}
	Buy struct {
		MsgContent string `json:"msg_content"`
	}
)

// A kind is one type of message in a vocabulary: how to decode it, and how a client decodes
// it.
type kind struct {
	msgType string
	// decode makes a new value for each message, as programs do. reuse keeps one value, and
	// so allocates only the content of the value.
	decode, reuse func(unmarshal func([]byte, any) error, data []byte, t *tally) error
	register      func(c *wechatws.Client, t *tally)
}

// kindOf makes a kind of the type T. weigh is called with each value, to check that it was
// decoded.
func kindOf[T any](msgType string, weigh func(v T) int) kind {
	callback := func(v T, t *tally) { t.add(msgType, weigh(v)) }
	var kept, none T
	return kind{
		msgType: msgType,
		decode: func(unmarshal func([]byte, any) error, data []byte, t *tally) error {
			var v T
			if err := unmarshal(data, &v); err != nil {
				return err
			}
			callback(v, t)
			return nil
		},
		reuse: func(unmarshal func([]byte, any) error, data []byte, t *tally) error {
			kept = none
			if err := unmarshal(data, &kept); err != nil {
				return err
			}
			callback(kept, t)
			return nil
		},
		register: func(c *wechatws.Client, t *tally) {
			wechatws.On(c, msgType, func(_ context.Context, v T) { callback(v, t) })
		},
	}
}

// A vocabulary is a set of Go types for the messages of a room.
type vocabulary map[string]kind

func newVocabulary(kinds ...kind) vocabulary {
	v := vocabulary{}
	for _, k := range kinds {
		v[k.msgType] = k
	}
	return v
}

var (
	// plain are the types above: strings and ints.
	plain = newVocabulary(
		kindOf("message", func(v Comment) int { return len(v.FromName) + len(v.Content) }),
		kindOf("subscribe", func(v Subscribe) int { return len(v.MsgContent) + v.SubscribeNum }),
		kindOf("join", func(v Join) int { return len(v.MsgContent) + v.OnlineNum + len(v.MessageList) }),
		kindOf("leave", func(v Leave) int { return len(v.MsgContent) }),
		kindOf("buy", func(v Buy) int { return len(v.MsgContent) }),
	)
	// tolerant are the types of package liveroom, whose methods also accept numbers as
	// strings and other variants that backends write.
	tolerant = newVocabulary(
		kindOf("message", func(v liveroom.Comment) int { return len(v.FromName) + len(v.Content) }),
		kindOf("subscribe", func(v liveroom.SubscribeEvent) int { return len(v.MsgContent) + int(*v.SubscribeNum) }),
		kindOf("join", func(v liveroom.JoinEvent) int { return len(v.MsgContent) + int(*v.OnlineNum) + len(v.MessageList) }),
		kindOf("leave", func(v liveroom.LeaveEvent) int { return len(v.MsgContent) }),
		kindOf("buy", func(v liveroom.BuyEvent) int { return len(v.MsgContent) }),
	)
)

// A tally checks that every message arrived, whole and in order. done is closed after the last
// one. It belongs to one goroutine until then.
type tally struct {
	got, want int
	sum       uint64
	done      chan struct{}
}

func newTally(want int) *tally { return &tally{want: want, done: make(chan struct{})} }

func (t *tally) add(msgType string, weight int) {
	t.sum = t.sum*31 + uint64(weight)*8 + uint64(msgType[0])
	if t.got++; t.got == t.want {
		close(t.done)
	}
}

// raw counts a message that is not decoded, and adds up all its bytes, eight at a time, which
// costs a few nanoseconds, the same for each contender.
func (t *tally) raw(data []byte) {
	sum := uint64(len(data))
	for ; len(data) >= 8; data = data[8:] {
		sum += binary.LittleEndian.Uint64(data)
	}
	for _, b := range data {
		sum += uint64(b)
	}
	t.add("raw", int(sum))
}

// A script is the messages that the room sends, again and again.
type script struct {
	messages [][]byte
	frames   []byte // all of them, as the server writes them
	ends     []int  // where each frame ends
	types    []string
	weights  []int
}

const scriptLength = 1000

// talkers is the number of members that comment. The variety of the strings affects the cost
// of decoding, since json v2 caches recent strings: 20 members comment, and often the same.
const talkers = 20

var phrases = []string{
	"666", "多少钱", "主播好", "hello", "first time here", "is it still there?", "下单了", "😀😀", "链接在哪里", "I have the same at home",
	"how long does shipping take?", "有优惠吗", "好看", "已经买了，等发货", "what size should I take?", "支持主播", "哈哈哈", "can you show the back?", "这个怎么卖", "goodbye",
}

// room is the script of W1: 70 % comments, 10 % subscribe, 10 % join with a list of
// three comments, 5 % leave, 5 % buy, shuffled, and always the same.
var room = sync.OnceValue(func() *script {
	r := rand.New(rand.NewPCG(1, 2))
	s := &script{}
	who := func() string { return fmt.Sprintf("观众%d", r.IntN(talkers)) }
	say := func() Comment { return Comment{who(), phrases[r.IntN(len(phrases))]} }
	one := func(msgType string, v any, weight int) {
		data := encode(msgType, v)
		s.messages = append(s.messages, data)
		s.types = append(s.types, msgType)
		s.weights = append(s.weights, weight)
	}
	for i := range scriptLength {
		switch share := i * 100 / scriptLength; {
		case share < 70:
			v := say()
			one("message", v, len(v.FromName)+len(v.Content))
		case share < 80:
			v := Subscribe{who() + " 关注了主播", r.IntN(5000)}
			one("subscribe", v, len(v.MsgContent)+v.SubscribeNum)
		case share < 90:
			v := Join{who() + " 进入直播间", r.IntN(9000), r.IntN(5000), []Comment{say(), say(), say()}}
			one("join", v, len(v.MsgContent)+v.OnlineNum+len(v.MessageList))
		case share < 95:
			v := Leave{who() + " 离开直播间"}
			one("leave", v, len(v.MsgContent))
		default:
			v := Buy{who() + " 正在去购买"}
			one("buy", v, len(v.MsgContent))
		}
	}
	r.Shuffle(scriptLength, func(i, j int) {
		s.messages[i], s.messages[j] = s.messages[j], s.messages[i]
		s.types[i], s.types[j] = s.types[j], s.types[i]
		s.weights[i], s.weights[j] = s.weights[j], s.weights[i]
	})
	for _, m := range s.messages {
		s.frames = appendFrame(s.frames, opText, m)
		s.ends = append(s.ends, len(s.frames))
	}
	return s
})

// encode writes a message with its type first.
func encode(msgType string, v any) []byte {
	rest, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types above can all be encoded
	}
	return fmt.Appendf(nil, `{"msg_type":%q,%s`, msgType, rest[1:])
}

// check compares a tally with the script.
func (s *script) check(t *tally, typed bool) error {
	want := newTally(t.want)
	for i := range t.want {
		if i %= scriptLength; typed {
			want.add(s.types[i], s.weights[i])
		} else {
			want.raw(s.messages[i])
		}
	}
	if t.got != want.got || t.sum != want.sum {
		return fmt.Errorf("got %d messages with the sum %x, want %d with %x", t.got, t.sum, want.got, want.sum)
	}
	return nil
}
