package natssim_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet/internal/natssim"
)

// A player makes the same requests to the real server and to the imitation, and notes the answers.
type player struct {
	*testing.T
	nc    *nats.Conn
	js    jetstream.JetStream
	notes []string
}

// TestTheImitationAnswersAsTheServer plays each scene of scenes_test.go to a nats-server and to the
// imitation of one, and compares the answers.
func TestTheImitationAnswersAsTheServer(t *testing.T) {
	s, err := server.NewServer(&server.Options{JetStream: true, StoreDir: t.TempDir(), DontListen: true, NoSigs: true, NoLog: true, MaxPayload: 8 << 20})
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(30*time.Second))
	defer s.WaitForShutdown()
	defer s.Shutdown()
	for _, scene := range scenes {
		t.Run(scene.name, func(t *testing.T) {
			want := play(t, scene.play, nats.InProcessServer(s))
			natssim.Bubble(t, func(t *testing.T) {
				time.Sleep(10_000 * 24 * time.Hour) // times have as many digits as those of the server
				c := natssim.New(1, 1)
				defer c.Close()
				got := play(t, scene.play, nats.SetCustomDialer(c.Dialer("player")))
				assert.Equal(t, strings.Join(want, "\n"), strings.Join(got, "\n"))
			})
		})
	}
}

func play(t *testing.T, scene func(p *player), connect nats.Option) []string {
	nc, err := nats.Connect("nats://10.0.0.1:4222", connect)
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	p := &player{T: t, nc: nc, js: js}
	scene(p)
	return p.notes
}

func (p *player) ctx() context.Context {
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	p.Cleanup(cancel)
	return ctx
}

var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z?|\b\d{18,19}\b`)

// note writes down what was answered, without times.
func (p *player) note(what string, values ...any) {
	line := what + ":"
	for _, v := range values {
		switch v := v.(type) {
		case error:
			line += fmt.Sprintf(" error %v", v)
			var api *jetstream.APIError
			if errors.As(v, &api) {
				line += fmt.Sprintf(" %d/%d", api.Code, api.ErrorCode)
			}
		case nats.Header:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				line += fmt.Sprintf(" %s=%q", name, v[name])
			}
		case []byte:
			line += fmt.Sprintf(" %q", v)
		default:
			line += fmt.Sprintf(" %v", v)
		}
	}
	p.notes = append(p.notes, times.ReplaceAllString(line, "TIME"))
}

// ask makes a request and notes so many of its answers.
func (p *player) ask(subject, body string, answers int) {
	p.Helper()
	p.askWith(nil, subject, body, answers)
}

func (p *player) askWith(header nats.Header, subject, body string, answers int) {
	p.Helper()
	sub := p.asked(header, subject, body)
	p.receive(sub, answers)
	require.NoError(p, sub.Unsubscribe())
}

// asked makes a request whose answers are noted later.
func (p *player) asked(header nats.Header, subject, body string) *nats.Subscription {
	p.Helper()
	sub, err := p.nc.SubscribeSync(p.nc.NewInbox())
	require.NoError(p, err)
	require.NoError(p, p.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: sub.Subject, Header: header, Data: []byte(body)}))
	p.note("> "+subject, body)
	return sub
}

// receive notes so many messages of a subscription.
func (p *player) receive(sub *nats.Subscription, messages int) {
	p.Helper()
	for range messages {
		m, err := sub.NextMsgWithContext(p.ctx())
		if errors.Is(err, nats.ErrNoResponders) {
			p.note("<", err)
			continue
		}
		require.NoError(p, err, "after %s", strings.Join(p.notes, "\n"))
		data := m.Data
		if json.Valid(data) && len(data) > 1 {
			data = known(data)
		}
		subject := m.Subject
		if strings.HasPrefix(subject, "_INBOX.") {
			subject = "INBOX"
		}
		p.note("< "+subject, m.Reply, m.Header, string(data))
	}
}

// known returns an answer of JetStream with the fields that the fleet reads.
func known(data []byte) []byte {
	var answer map[string]any
	if json.Unmarshal(data, &answer) != nil {
		return data
	}
	for name := range answer {
		switch name {
		case "error", "message", "stream", "seq", "duplicate", "success", "purged", "state", "num_pending", "name", "stream_name", "delivered":
		default:
			delete(answer, name)
		}
	}
	if delivered, ok := answer["delivered"].(map[string]any); ok {
		delete(delivered, "last_active")
	}
	if m, ok := answer["message"].(map[string]any); ok && m["hdrs"] != nil {
		raw, _ := base64.StdEncoding.DecodeString(m["hdrs"].(string))
		m["hdrs"], _ = nats.DecodeHeadersMsg(raw) // in any order
	}
	b, _ := json.Marshal(answer)
	return b
}
