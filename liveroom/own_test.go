package liveroom_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// Another member says what a comment says that the server drops. Before that, messages with the
// client_id of that member have arrived. It is not taken for this member, and confirms nothing.
func TestAnotherMemberIsNotOwn(t *testing.T) {
	for name, tt := range map[string]struct {
		noUserID bool
		before   string
		comment  string
	}{
		"its id came with a purchase": {
			before:  `{"msg_type":"buy","client_id":"V","msg_content":"x bought tea"}`,
			comment: `{"msg_type":"message","client_id":"V","from_uid":"77","from_name":"x","content":"666"}`,
		},
		"its id came with a purchase, and it has no uid": {
			before:  `{"msg_type":"buy","client_id":"V","msg_content":"x bought tea"}`,
			comment: `{"msg_type":"message","client_id":"V","from_name":"x","content":"666"}`,
		},
		"its id came with a message of another type": {
			before:  `{"msg_type":"news","client_id":"V"}`,
			comment: `{"msg_type":"message","client_id":"V","content":"666"}`,
		},
		"the same name": {
			before:  `{"msg_type":"message","client_id":"V","from_name":"bot","content":"hello"}`,
			comment: `{"msg_type":"message","client_id":"V","from_name":"bot","content":"666"}`,
		},
		"the same name and this member's id": {
			before:  `{"msg_type":"buy"}`,
			comment: `{"msg_type":"message","client_id":"7f0000010b5400000001","from_uid":77,"from_name":"bot","content":"666"}`,
		},
		"the same name, another id, no UserID": {
			noUserID: true,
			before:   `{"msg_type":"message","client_id":"V","from_name":"bot","content":"hello"}`,
			comment:  `{"msg_type":"message","client_id":"V","from_name":"bot","content":"666"}`,
		},
		"the same name, another uid, no UserID": {
			noUserID: true,
			before:   `{"msg_type":"buy"}`,
			comment:  `{"msg_type":"message","from_uid":77,"from_name":"bot","content":"666"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, liveroomtest.Quirks{NoEcho: true}, func(t *testing.T, w *world) {
				m := as("bot")
				if tt.noUserID {
					m.UserID = liveroom.Value{}
				}
				v := w.visitor(m).enter()
				c := w.conn()
				require.NoError(t, c.Send(tt.before))
				w.sleep(time.Millisecond)
				r := v.confirm(t.Context(), "666")
				require.NoError(t, c.Send(tt.comment))
				w.sleep(time.Second)
				require.False(t, r.over())
				require.False(t, v.Snapshot().Comments[len(v.Snapshot().Comments)-1].Own)
				require.Equal(t, "7f0000010b5400000001", v.Snapshot().ClientID.String())
			})
		})
	}
}

// What servers put into the echo of this member's comment: its id as a number, the id of a gateway, or
// an id although their init has none.
func TestEchoesWithIDs(t *testing.T) {
	for name, tt := range map[string]struct{ init, echo string }{
		"client_id":             {`{"msg_type":"init","client_id":"7"}`, `"client_id":7,"from_name":"nick"}`},
		"from_uid":              {`{"msg_type":"init","client_id":"7"}`, `"from_uid":42,"from_name":"nick"}`},
		"the id of a gateway":   {`{"msg_type":"init","client_id":"7"}`, `"from_uid":42,"client_id":"gateway"}`},
		"no id in init":         {`{"msg_type":"init"}`, `"client_id":"8","from_name":"bot"}`},
		"no id, and a from_uid": {`{"msg_type":"init"}`, `"client_id":"8","from_uid":"42"}`},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
				w.backend.Freeze(true) // the script below does it all
				m := as("bot")
				m.UserID = liveroom.Str("42")
				v := w.visitor(m)
				go func() { _ = v.Connect(t.Context()) }()
				c := w.conn()
				require.NoError(t, c.Send(tt.init))
				w.sleep(time.Millisecond)
				require.NoError(t, c.Send(`{"msg_type":"join"}`))
				w.sleep(time.Second)
				r := v.confirm(t.Context(), "666")
				require.NoError(t, c.Send(`{"msg_type":"message","content":"666",`+tt.echo))
				w.sleep(time.Second)
				require.True(t, r.over())
				require.NoError(t, r.err)
				require.True(t, v.Snapshot().Comments[0].Own)
			})
		})
	}
}
