package doctor

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/wstest"
)

func TestServers(t *testing.T) {
	for name, tt := range map[string]struct {
		server func(s *wstest.Server)
		target func(target *Target)
		check  string
		want   Verdict
		says   string
		code   string // in the call; with "-" in front: not in it
		failed bool   // no client stays connected
	}{
		"pings are not answered": {
			server: func(s *wstest.Server) { s.OnConn(func(c *wstest.Conn) { c.IgnorePings(true) }) },
			check:  "pings", want: Needs, says: "not answered within 2s", code: "wechatws.WithoutLiveness()",
		},
		"a heartbeat is answered, pings are not": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) { c.IgnorePings(true) })
				replies(s, `{"type":"ping"}`, `{"type":"pong"}`)
			},
			check: "heartbeat", want: OK, says: `{"type":"ping"} is answered after`,
			code: "Pong:    func(m wechatws.Message) bool { return m.Type == \"pong\" }",
		},
		"a text is answered, pings are not": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) { c.IgnorePings(true); _ = c.Send("welcome") })
				replies(s, `ping`, `pong`)
			},
			check: "heartbeat", want: OK, says: `ping is answered after`,
			code: "Pong:    func(m wechatws.Message) bool { return string(m.Data) == \"pong\" }",
		},
		"the type of an answer is longer than any name": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) { c.IgnorePings(true) })
				replies(s, `{"msg_type":"ping"}`, `{"msg_type":"pong`+strings.Repeat("x", 64)+`"}`)
			},
			check: "heartbeat", want: OK, says: `{"msg_type":"ping"} is answered after`, code: "-xxx",
		},
		"messages are echoed": {
			server: func(s *wstest.Server) {
				s.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
			},
			check: "heartbeat", want: OK, says: `{"msg_type":"ping"} comes back`, code: "-WithHeartbeat",
		},
		"the default heartbeat ends the connection": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) { _ = c.Send(`{"op":10}`) })
				s.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Close(1003, "what") })
			},
			check: "heartbeat", want: OK, says: `{"msg_type":"ping"}: close frame 1003 "what"`, code: "wechatws.WithoutHeartbeat()",
		},
		"the default heartbeat is answered with an error": {
			server: func(s *wstest.Server) { replies(s, `{"msg_type":"ping"}`, `{"error":"unknown message"}`) },
			check:  "heartbeat", want: OK, says: `{"msg_type":"ping"}: refused, no type`, code: "wechatws.WithoutHeartbeat()",
		},
		"connections end after 8 s without a message": {
			server: func(s *wstest.Server) { impatient(s, 8*time.Second) },
			check:  "silence", want: Needs, says: "only messages count as life", code: "Interval: 2 * time.Second",
		},
		"connections end after 8 s": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) { wait(c, 8*time.Second); c.Cut(wstest.RST) })
			},
			check: "silence", want: Fail, says: "every connection ends after about 8s", failed: true,
		},
		"the server sends heartbeats": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) {
					for wait(c, 3*time.Second) && c.Send(`{"type":"ping","message":1}`) == nil {
					}
				})
			},
			check: "silence", want: OK, says: `the server sends type "ping", 27 B: {message: number, type: string of 4}, every 3s`, code: `WithTypeField("type")`,
		},
		"a subprotocol is required": {
			server: func(s *wstest.Server) {
				s.AnswerAlways(wstest.Accept(wstest.WithSubprotocols("graphql-transport-ws")))
				s.OnConn(func(c *wstest.Conn) {
					if c.Subprotocol() == "" {
						_ = c.Close(4406, "Subprotocol not acceptable")
					}
				})
			},
			check: "subprotocols", want: Needs, says: `requires "graphql-transport-ws"`, code: `wechatws.WithSubprotocols("graphql-transport-ws")`,
		},
		"a subprotocol is known": {
			server: func(s *wstest.Server) { s.AnswerAlways(wstest.Accept(wstest.WithSubprotocols("mqtt"))) },
			check:  "subprotocols", want: Needs, says: `knows "mqtt", and does not require it`, code: `wechatws.WithSubprotocols("mqtt")`,
		},
		"the subprotocol that is offered is not selected": {
			target: func(t *Target) { t.Subprotocols = []string{"chat.v9"} },
			check:  "subprotocols", want: Fail, says: "the server selects none of those given", failed: true,
		},
		"compression": {
			server: func(s *wstest.Server) { s.AnswerAlways(wstest.Accept(wstest.WithCompression())) },
			check:  "compression", want: OK, says: "accepted", code: "-WithCompression",
		},
		"no answer to the handshake": {
			server: func(s *wstest.Server) { s.AnswerAlways(wstest.NoAnswer()) },
			check:  "handshake", want: Note, says: "the handshake fails", failed: true,
		},
		"the handshake is cut": {
			server: func(s *wstest.Server) { s.AnswerAlways(wstest.CutHandshake(wstest.FIN)) },
			check:  "handshake", want: Note, says: "ends the connection instead of answering", failed: true,
		},
		"a handshake without a subprotocol is cut": {
			server: func(s *wstest.Server) {
				s.AnswerFunc(func(r *http.Request) wstest.Answer {
					if r.Header.Get("Sec-WebSocket-Protocol") == "" {
						return wstest.CutHandshake(wstest.FIN)
					}
					return wstest.Accept(wstest.WithSubprotocols("janus-protocol"))
				})
			},
			check: "subprotocols", want: Needs, says: "without it the handshake fails", code: `wechatws.WithSubprotocols("janus-protocol")`,
		},
		"a handshake without a subprotocol is cut, and any is selected": {
			server: func(s *wstest.Server) {
				s.AnswerFunc(func(r *http.Request) wstest.Answer {
					first, _, _ := strings.Cut(r.Header.Get("Sec-WebSocket-Protocol"), ",")
					if first == "" {
						return wstest.CutHandshake(wstest.FIN)
					}
					return wstest.Accept(wstest.WithSubprotocols(first))
				})
			},
			check: "subprotocols", want: Fail, says: "the server requires a subprotocol, and selects any that is offered", failed: true,
		},
		"a handshake without a subprotocol is cut, and a connection with one ends": {
			server: func(s *wstest.Server) {
				s.AnswerFunc(func(r *http.Request) wstest.Answer {
					if r.Header.Get("Sec-WebSocket-Protocol") == "" {
						return wstest.CutHandshake(wstest.FIN)
					}
					return wstest.Accept(wstest.WithSubprotocols("mqtt"))
				})
				s.OnConn(func(c *wstest.Conn) { c.Cut(wstest.FIN) })
			},
			check: "subprotocols", want: Fail, says: `the server knows "mqtt", and ends a connection with it`, failed: true,
		},
		"all connections count as one": {
			server: func(s *wstest.Server) { together(s, 5*time.Second, `{"type":"OPEN"}`, `{"type":"HEARTBEAT"}`) },
			check:  "client", want: Needs, says: "; without this heartbeat, the connection ended after 5s", code: "`{\"type\":\"HEARTBEAT\"}`",
		},
		"all connections count as one, for a minute": {
			server: func(s *wstest.Server) { together(s, time.Minute, `{"type":"OPEN"}`, `{"type":"HEARTBEAT"}`) },
			check:  "client", want: Needs, says: "open for 1m10s with the options found", code: "`{\"type\":\"HEARTBEAT\"}`",
		},
		"all connections count as one, and the default heartbeat does not count": {
			server: func(s *wstest.Server) { together(s, time.Minute, `{"type":"open"}`, `{"type":"heartbeat"}`) },
			check:  "client", want: Needs, says: "; without this heartbeat, the connection ended after 1m", code: "`{\"type\":\"heartbeat\"}`",
		},
		"a heartbeat of the server must be answered": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) {
					_ = c.Send(`{"connect":{"ping":25,"pong":true},"id":1}`) // is no heartbeat
					wait(c, 25*time.Second)
					_ = c.Send("{}")
					wait(c, 8*time.Second)
					_ = c.Close(3012, "no pong")
				})
			},
			check: "silence", want: Fail, failed: true,
			says: "the server's heartbeat wants an answer, or a login is missing\nsilent: ended after 33s, close frame 3012 \"no pong\"\n" +
				"the server sends no type, 2 B: {}: if it expects an answer, see WithReply",
		},
		"a heartbeat is refused by a status": {
			server: func(s *wstest.Server) {
				s.OnMessage(func(c *wstest.Conn, _ wstest.Message) { _ = c.Send(`{"status":"failed","retcode":1404,"data":null}`) })
			},
			check: "heartbeat", want: OK, says: `{"msg_type":"ping"}: refused`, code: "wechatws.WithoutHeartbeat()",
		},
		"401": {
			server: func(s *wstest.Server) { s.AnswerAlways(wstest.Status(401, nil, "no")) },
			check:  "handshake", want: Fail, says: "status 401 Unauthorized: it wants credentials", failed: true,
		},
		"503 with Retry-After": {
			server: func(s *wstest.Server) {
				s.AnswerAlways(wstest.Status(503, http.Header{"Retry-After": {"30"}}, "later"))
			},
			check: "retry-after", want: Note, says: "status 503 with Retry-After 30", failed: true,
		},
		"the clock": {
			server: func(s *wstest.Server) {
				s.AnswerFunc(func(*http.Request) wstest.Answer {
					return wstest.Accept(wstest.WithHeader(http.Header{"Date": {time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)}}))
				})
			},
			check: "clock", want: Note, says: "behind this machine's",
		},
		"a redirect to another path": {
			server: func(s *wstest.Server) {
				s.AnswerFunc(func(r *http.Request) wstest.Answer {
					if r.URL.Path == "/ws" {
						return wstest.Status(302, http.Header{"Location": {"/live"}}, "")
					}
					return wstest.Accept()
				})
			},
			check: "redirects", want: Note, says: "status 302 to another path of server.test:80", code: "-Redirects",
		},
		"a redirect to another host": {
			server: func(s *wstest.Server) {
				s.AnswerAlways(wstest.Status(307, http.Header{"Location": {"http://192.0.2.1:80/ws"}}, ""))
			},
			check: "redirects", want: Fail, says: "the server redirects to another host, 192.0.2.1:80: run doctor with its URL", code: "It cannot connect yet", failed: true,
		},
		"messages above 100 KiB are refused": {
			server: func(s *wstest.Server) {
				s.OnMessage(func(c *wstest.Conn, m wstest.Message) {
					if len(m.Data) > 100<<10 {
						_ = c.Close(1009, "too big")
					}
				})
			},
			check: "size", want: Note, says: "messages of 64 KiB are taken, one of 256 KiB ends the connection",
		},
		"a message of 3 MiB arrives": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) { _ = c.Send(strings.Repeat("x", 3<<20)) })
			},
			check: "encoding", want: Needs, says: "the default limit, 1 MiB, skips it", code: "wechatws.WithReadLimit(4194304)",
		},
		"gzip": {
			server: func(s *wstest.Server) {
				var b bytes.Buffer
				z := gzip.NewWriter(&b)
				_, _ = z.Write([]byte(`{"type":"tick"}`))
				_ = z.Close()
				s.OnConn(func(c *wstest.Conn) { _ = c.SendBinary(b.Bytes()) })
			},
			check: "encoding", want: Note, says: "binary, gzip: see WithUnpack",
		},
		"several documents": {
			server: func(s *wstest.Server) { s.OnConn(func(c *wstest.Conn) { _ = c.Send("{\"id\":1}\n{\"id\":2}") }) },
			check:  "encoding", want: Note, says: "hold several JSON documents",
		},
		"an array": {
			server: func(s *wstest.Server) { s.OnConn(func(c *wstest.Conn) { _ = c.Send(`["EVENT",{"id":1}]`) }) },
			check:  "type", want: Needs, says: "the first element of an array", code: `wechatws.WithTypePath("0")`,
		},
		"the type in an array is that of the login": {
			server: func(s *wstest.Server) { s.OnConn(func(c *wstest.Conn) { _ = c.Send(`["room_join",{"id":1}]`) }) },
			target: func(t *Target) { t.Login = []byte(`["room_join",{"token":"hunter2-hunter2"}]`) },
			check:  "type", want: Needs, says: `type "room_join"`, code: `wechatws.WithTypePath("0")`,
		},
		"most messages are arrays, and the others have a type": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) { _ = c.Send(`["a",1]`); _ = c.Send(`["b",1]`); _ = c.Send(`{"type":"c"}`) })
			},
			check: "type", want: Needs, says: "the field type has it", code: `wechatws.WithTypeField("type")`,
		},
		"a nested type": {
			server: func(s *wstest.Server) { s.OnConn(func(c *wstest.Conn) { _ = c.Send(`{"header":{"event_type":"x"}}`) }) },
			check:  "type", want: Needs, says: "the field header.event_type", code: `wechatws.WithTypePath("header", "event_type")`,
		},
		"a login is missing": {
			server: loginNeeded,
			check:  "login", want: Note, says: `close frame 4001 "not authenticated"`, failed: true,
		},
		"a login": {
			server: loginNeeded,
			target: func(t *Target) { t.Login = []byte(`{"msg_type":"login","token":"hunter2-hunter2"}`) },
			check:  "login", want: OK, says: "the connection stays", code: `wechatws.WithLoginMessage(wechatws.Text(os.Getenv("WS_LOGIN")))`,
		},
		"a header": {
			target: func(t *Target) { t.Header = http.Header{"Authorization": {"Bearer hunter2-hunter2"}} },
			check:  "client", want: OK, says: "open", code: `"Authorization": {os.Getenv("AUTHORIZATION")}`,
		},
		"a URL with a token": {
			target: func(t *Target) { t.URL += "?token=hunter2-hunter2" },
			check:  "client", want: OK, says: "open", code: `wechatws.New(os.Getenv("WS_URL"))`,
		},
		"everything that is sent is repeated": {
			server: func(s *wstest.Server) {
				s.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Close(4000, m.Text()[:min(len(m.Text()), 100)]) })
			},
			target: func(t *Target) { t.Login = []byte(`{"msg_type":"login","token":"hunter2-hunter2"}`) },
			check:  "messages", want: Note, says: "close frame 4000", failed: true,
		},
		"an own heartbeat": {
			server: func(s *wstest.Server) { impatient(s, 30*time.Second) },
			target: func(t *Target) { t.Heartbeat = []byte(`{"beat":"hunter2-hunter2"}`) },
			check:  "silence", want: Needs, says: "with the heartbeat of --heartbeat every 3s: open", code: `wechatws.Text(os.Getenv("WS_HEARTBEAT"))`,
		},
		"an own heartbeat comes back, pings do not": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) { c.IgnorePings(true) })
				s.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
			},
			target: func(t *Target) { t.Heartbeat = []byte(`{"beat":"hunter2-hunter2"}`) },
			check:  "client", want: OK, says: "open", code: `string(m.Data) == os.Getenv("WS_HEARTBEAT")`,
		},
		"a login is missing, and at once": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) {
					wait(c, 100*time.Millisecond)
					if len(c.Received()) == 0 {
						_ = c.Close(4001, "not authenticated")
					}
				})
			},
			target: func(t *Target) { t.Login = []byte(`{"msg_type":"login","token":"hunter2-hunter2"}`) },
			check:  "login", want: OK, says: "the connection stays",
		},
		"escape codes": {
			server: func(s *wstest.Server) { s.OnConn(func(c *wstest.Conn) { _ = c.Close(4000, "a\x1b[31mb") }) },
			check:  "handshake", want: Note, says: `a\\x1b[31mb`, failed: true,
		},
		"a flood": {
			server: func(s *wstest.Server) {
				s.OnConn(func(c *wstest.Conn) {
					for c.Send(strings.Repeat("x", 64<<10)) == nil && wait(c, 10*time.Millisecond) {
					}
				})
			},
			check: "messages", want: Note, says: "more than 8.0 MiB has arrived",
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, s *wstest.Server) {
				if tt.server != nil {
					tt.server(s)
				}
				target := targetOf(s)
				if tt.target != nil {
					tt.target(&target)
				}
				r := examine(t, target)
				found(t, r, tt.check, tt.want, tt.says)
				assert.Equal(t, tt.failed, len(r.Failed()) > 0, r.Failed())
				if r.End.Broken != "" {
					assert.True(t, tt.failed, r.End.Broken)
				}
				if not, ok := strings.CutPrefix(tt.code, "-"); ok {
					assert.NotContains(t, r.End.Code, not)
				} else {
					assert.Contains(t, r.End.Code, tt.code)
				}
				text := written(t, r)
				assert.NotContains(t, text, "hunter2")
				assert.NotContains(t, text, "\x1b")
			})
		})
	}
	compile(t, pasted.list)
}

// replies has the server answer one message.
func replies(s *wstest.Server, message, answer string) {
	s.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		if m.Text() == message {
			_ = c.Send(answer)
		}
	})
}

// together has the server end each connection while no connection at all sends the heartbeat for d.
func together(s *wstest.Server, d time.Duration, hello, heartbeat string) {
	var beats atomic.Int64
	s.OnMessage(func(_ *wstest.Conn, m wstest.Message) {
		if m.Text() == heartbeat {
			beats.Add(1)
		}
	})
	s.OnConn(func(c *wstest.Conn) {
		_ = c.Send(hello)
		for last := beats.Load(); wait(c, d); last = beats.Load() {
			if beats.Load() == last {
				c.Cut(wstest.FIN)
			}
		}
	})
}

// impatient has the server end connections that have sent no message for d.
func impatient(s *wstest.Server, d time.Duration) {
	s.OnConn(func(c *wstest.Conn) {
		for last := time.Now(); ; {
			if !wait(c, time.Until(last.Add(d))) {
				return
			}
			received := c.Received()
			if n := len(received); n > 0 {
				last = received[n-1].At
			}
			if time.Since(last) >= d {
				c.Cut(wstest.FIN)
				return
			}
		}
	})
}

// loginNeeded has the server end connections whose first message is no login.
func loginNeeded(s *wstest.Server) {
	s.OnConn(func(c *wstest.Conn) {
		wait(c, 2*time.Second)
		if list := c.Received(); len(list) == 0 || !strings.Contains(list[0].Text(), "login") {
			_ = c.Close(4001, "not authenticated")
		}
	})
}

// wait reports whether the connection is still open after d.
func wait(c *wstest.Conn, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.Done():
		return false
	}
}
