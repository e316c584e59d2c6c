package doctor

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

// A server that does not read any more costs the check that has found it, and not the ones after it.
func TestAServerThatDoesNotRead(t *testing.T) {
	virtual(t, func(t *testing.T, s *wstest.Server) {
		s.OnMessage(func(c *wstest.Conn, m wstest.Message) {
			if len(m.Data) >= 16<<10 {
				c.StopReading()
			}
		})
		r := examine(t, targetOf(s))
		found(t, r, "size", Note) // with the ping behind 16 KiB in the same read, at 64 KiB
		found(t, r, "client", OK)
		assert.Less(t, r.End.Took, 3*time.Minute)
		assert.Empty(t, r.End.Broken)
	})
}

func TestAPingBehindALargeMessage(t *testing.T) {
	virtual(t, func(t *testing.T, s *wstest.Server) {
		s.OnMessage(func(c *wstest.Conn, m wstest.Message) { c.IgnorePings(len(m.Data) >= 16<<10) })
		found(t, examine(t, targetOf(s)), "size", Note, "messages of 4096 B are taken; after one of 16 KiB no ping is answered within 3s")
	})
}

func TestAServerThatIsDeafAndPings(t *testing.T) {
	virtual(t, func(t *testing.T, s *wstest.Server) {
		s.OnConn(func(c *wstest.Conn) {
			c.StopReading()
			for wait(c, 10*time.Millisecond) && c.WriteRaw([]byte("\x89\x00")) == nil {
			}
		})
		r := examine(t, targetOf(s))
		found(t, r, "size", Note, "doctor has ended it: the server does not read")
		assert.Less(t, r.End.Took, 4*time.Minute)
	})
}

// Control frames and empty messages take memory, too.
func TestAFloodOfSmallFrames(t *testing.T) {
	for name, frame := range map[string]string{"pongs": "\x8a\x00", "pings": "\x89\x00", "empty messages": "\x81\x00"} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) {
					for wait(c, 10*time.Millisecond) && c.WriteRaw([]byte(strings.Repeat(frame, 4<<10))) == nil {
					}
				})
				target := targetOf(s)
				target.Without = slices.DeleteFunc(Names(), func(name string) bool { return name == "handshake" || name == "messages" })
				r := examine(t, target)
				found(t, r, "messages", Note, "doctor has ended it: more than 8.0 MiB has arrived")
			})
		})
	}
}

func TestSecretsThatAreCut(t *testing.T) {
	secret := strings.Repeat("hunter2-", 200)
	for name, tt := range map[string]struct {
		server func(s *wstest.Server)
		target func(target *Target)
	}{
		"by the page of a refusal": {
			server: func(s *wstest.Server) {
				s.AnswerFunc(func(r *http.Request) wstest.Answer { return wstest.Status(404, nil, "Cannot GET "+r.RequestURI) })
			},
			target: func(t *Target) { t.URL += "?token=" + secret },
		},
		"in the name of a field": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) { _ = c.Send(fmt.Sprintf(`{"type":"%s","%s":{"%s":1}}`, secret, secret, secret)) })
			},
			target: func(t *Target) { t.Secrets = []string{secret} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, s *wstest.Server) {
				tt.server(s)
				target := targetOf(s)
				tt.target(&target)
				assert.NotContains(t, written(t, examine(t, target)), "hunter2")
			})
		})
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	virtual(t, func(t *testing.T, s *wstest.Server) {
		s.OnConn(func(c *wstest.Conn) {
			var fields []string
			for i := range 1000 {
				fields = append(fields, fmt.Sprintf(`"field%d_id":"%d"`, i, i))
			}
			_ = c.Send("{" + strings.Join(fields, ",") + "}")
		})
		r := examine(t, targetOf(s))
		f := r.Finding("encoding")
		require.Len(t, f.Evidence, maxEvidence+1)
		assert.Contains(t, f.Evidence[maxEvidence], "more")
	})
}
