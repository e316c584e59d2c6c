package doctor

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// quirks has a row for each field of liveroomtest.Quirks: a backend with it, and what doctor says of
// it, and of no backend without it; or why it cannot be seen.
var quirks = map[string]struct {
	quirks      liveroomtest.Quirks
	check, says string
	unseen      string
}{
	"NumbersAsStrings": {quirks: liveroomtest.Quirks{NumbersAsStrings: true}, check: "encoding", says: "join.online_num: a number in a string"},
	"EscapedText":      {quirks: liveroomtest.Quirks{EscapedText: true}, check: "encoding", says: "text has escapes"},
	"EmptyList":        {quirks: liveroomtest.Quirks{EmptyList: "{}"}, check: "encoding", says: "join.message_list: array, or object"},
	"HistoryName":      {quirks: liveroomtest.Quirks{HistoryName: true}, check: "type", says: "{content: string of 9, name: string of 5}]"},
	"HistorySize":      {quirks: liveroomtest.Quirks{HistorySize: 1}, check: "type", says: "message_list: [1 × "},
	"SayWho":           {quirks: liveroomtest.Quirks{SayWho: true}, check: "type", says: "from_uid: "},
	"NoEcho":           {quirks: liveroomtest.Quirks{NoEcho: true}, check: "answers", says: "message 1: no answer"},
	"ClientID":         {quirks: liveroomtest.Quirks{ClientID: "7f0000010b5400000001"}, check: "encoding", says: "init.client_id is the same on each connection"},
	"SessionDelay":     {quirks: liveroomtest.Quirks{SessionDelay: 50 * time.Millisecond}, check: "answers", says: "right behind the login a message is answered differently"},
	"Refusal": {
		quirks: liveroomtest.Quirks{SessionDelay: 50 * time.Millisecond, Refusal: `{"msg_type":"denied","why":7}`},
		check:  "type", says: `type "denied", 29 B: {msg_type: string of 6, why: number}`,
	},
	"ReloadLoses":  {unseen: "it shows only while the server's workers restart"},
	"EscapedHTML":  {quirks: liveroomtest.Quirks{EscapedHTML: true}, check: "answers", says: `content: "<b>what" came back as "&lt;b&gt;what"`},
	"Censored":     {quirks: liveroomtest.Quirks{Censored: "what"}, check: "answers", says: `content: "<b>what" came back as "<b>****"`},
	"Dropped":      {quirks: liveroomtest.Quirks{Dropped: "what"}, check: "answers", says: "message 2: no answer"},
	"NumericCheck": {quirks: liveroomtest.Quirks{NumericCheck: true}, check: "answers", says: `content: "9.90" came back as 9.9`},
	"CloseFrames":  {quirks: liveroomtest.Quirks{CloseFrames: true, KickAfter: 15 * time.Second}, check: "silence", says: "silent: ended after 15s, close frame 1001"},
	"KickAfter":    {quirks: liveroomtest.Quirks{KickAfter: 15 * time.Second}, check: "silence", says: "a silent connection ends after 15s, and only messages count as life"},
	"PingsCount":   {quirks: liveroomtest.Quirks{KickAfter: 15 * time.Second, PingsCount: true}, check: "silence", says: "a silent connection ends after 15s, and protocol pings count as life"},
	"Linger":       {unseen: "how late a leave is broadcast is seen by the other members of the room, whose number a stranger does not know"},
	"SendBuffer":   {unseen: "it takes a flood of messages to a client that does not read, which no stranger may cause"},
	"Recovery":     {unseen: "it shows only right after the server's start"},
}

func TestEachQuirkIsFoundOrCannotBeSeen(t *testing.T) {
	plain := examineBackend(t, liveroomtest.Quirks{})
	for field := range reflect.TypeFor[liveroomtest.Quirks]().Fields() {
		t.Run(field.Name, func(t *testing.T) {
			row, ok := quirks[field.Name]
			require.True(t, ok, "the table has no row for it")
			if row.unseen != "" {
				return
			}
			require.False(t, reflect.ValueOf(row.quirks).FieldByIndex(field.Index).IsZero(), "the row does not set it")
			r := examineBackend(t, row.quirks)
			assert.Contains(t, said(r.Finding(row.check)), row.says)
			assert.NotContains(t, said(plain.Finding(row.check)), row.says)
			assert.Empty(t, r.Failed())
		})
	}
	assert.Len(t, quirks, reflect.TypeFor[liveroomtest.Quirks]().NumField())
}

// examineBackend examines a live-room backend as a member of a room.
func examineBackend(t *testing.T, q liveroomtest.Quirks) (r *Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := liveroomtest.NewBackend(q, wstest.WithNetwork(wstest.NewNetwork()))
		defer b.Close()
		target := targetOf(b.Server())
		target.Login = []byte(`{"msg_type":"join","room_id":7,"from_uid":1,"from_name":"Alice"}`)
		for _, content := range []string{"good day!", "<b>what", "9.90"} {
			target.Send = append(target.Send, []byte(`{"msg_type":"message","room_id":7,"from_name":"Alice","content":"`+content+`"}`))
		}
		r = examine(t, target)
	})
	return r
}

func TestTheUsualBackend(t *testing.T) {
	r := examineBackend(t, liveroomtest.GatewayWorker())
	assert.Contains(t, said(r.Finding("silence")), "bare FIN")
	assert.NotContains(t, r.End.Code, "WithHeartbeat")
	assert.NotContains(t, r.End.Code, "WithTypeField")
	found(t, r, "client", OK)
}
