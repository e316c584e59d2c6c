package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// virtual runs a test in virtual time, with a server on a network in memory.
func virtual(t *testing.T, test func(t *testing.T, s *wstest.Server), options ...wstest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := wstest.NewServer(append(options, wstest.WithNetwork(wstest.NewNetwork()))...)
		defer s.Close()
		test(t, s)
	})
}

// targetOf returns a target whose name has one address, at which the server is.
func targetOf(s *wstest.Server) Target {
	return Target{
		URL: s.URL() + "/ws",
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err == nil && host == "192.0.2.1" {
				addr = net.JoinHostPort("server.test", port)
			}
			return s.DialContext(ctx, network, addr)
		},
		Resolve: func(context.Context, string, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		},
	}
}

// examine examines a target, and checks what holds for each report.
func examine(t *testing.T, target Target) *Report {
	t.Helper()
	plan, err := NewPlan(target)
	require.NoError(t, err)
	began := time.Now()
	var found []Finding
	r, err := Examine(t.Context(), target, func(f Finding) { found = append(found, f) })
	require.NoError(t, err)
	assert.Equal(t, found, r.Findings)
	assert.LessOrEqual(t, time.Since(began), plan.Time)
	assert.LessOrEqual(t, r.End.Connections, plan.Connections)
	for _, f := range r.Findings {
		assert.NotEmpty(t, f.Verdict, f.Check)
		assert.NotEmpty(t, f.Summary, f.Check)
	}
	pasted.add(t, r.End.Code)
	if t.Failed() || testing.Verbose() {
		t.Log("\n" + written(t, r))
	}
	return r
}

// written returns a report as text.
func written(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	text := NewText(&b)
	for _, f := range r.Findings {
		require.NoError(t, text.Finding(f))
	}
	require.NoError(t, text.End(r.End))
	return b.String()
}

// said returns all texts of a finding.
func said(f Finding) string {
	lines := append([]string{f.Summary}, f.Evidence...)
	for _, o := range f.Options {
		lines = append(lines, o.Code)
	}
	return strings.Join(lines, "\n")
}

// found checks the verdict and the text of a finding.
func found(t *testing.T, r *Report, check string, v Verdict, texts ...string) {
	t.Helper()
	f := r.Finding(check)
	assert.Equal(t, v, f.Verdict, "%s: %s", check, said(f))
	for _, text := range texts {
		assert.Contains(t, said(f), text, check)
	}
}

func TestAPlainServer(t *testing.T) {
	virtual(t, func(t *testing.T, s *wstest.Server) {
		r := examine(t, targetOf(s))
		assert.Empty(t, r.Failed())
		found(t, r, "dns", OK, "server.test has one address")
		found(t, r, "addresses", OK)
		found(t, r, "tls", Note, "none")
		found(t, r, "handshake", OK, "status 101")
		found(t, r, "redirects", OK, "none")
		found(t, r, "subprotocols", OK, "none")
		found(t, r, "compression", OK, "refused")
		found(t, r, "messages", OK, "none")
		found(t, r, "pings", OK, "answered")
		found(t, r, "heartbeat", OK, "none of those tried is answered")
		found(t, r, "type", Unknown)
		found(t, r, "silence", OK, "stays open for 1m10s")
		found(t, r, "close", OK, "close frame 1000")
		found(t, r, "size", OK, "1.0 MiB are taken")
		found(t, r, "login", OK, "no sign")
		found(t, r, "client", OK)
		assert.Contains(t, r.End.Code, `client, err := wechatws.New("ws://server.test:80/ws")`)
	})
}

func TestWhatIsDoneIsSaidBefore(t *testing.T) {
	virtual(t, func(t *testing.T, s *wstest.Server) {
		target := targetOf(s)
		target.Login, target.Send = []byte(`{"msg_type":"login"}`), [][]byte{[]byte(`{"msg_type":"say"}`)}
		plan, err := NewPlan(target)
		require.NoError(t, err)
		examine(t, target)
		messages, size := 0, 0
		for _, e := range s.Events() {
			if e.Kind == wstest.EventMessage {
				messages, size = messages+1, size+len(e.Message.Data)
			}
		}
		assert.LessOrEqual(t, messages, plan.Messages)
		assert.LessOrEqual(t, size, plan.Bytes)
		assert.LessOrEqual(t, len(s.Handshakes()), plan.Connections)

		var b bytes.Buffer
		require.NoError(t, plan.Write(&b, target))
		assert.Contains(t, b.String(), fmt.Sprintf("at most %d connections to ws://server.test:80 in at most %v, and send at most %d messages",
			plan.Connections, plan.Time.Round(time.Second), plan.Messages))
	})
}

func TestChecksCanBeLeftOut(t *testing.T) {
	virtual(t, func(t *testing.T, s *wstest.Server) {
		target := targetOf(s)
		target.Without = Names()[1:]
		r := examine(t, target)
		require.Len(t, r.Findings, 1)
		assert.Empty(t, s.Events())
	})
}

func TestEachCheckCanBeLeftOut(t *testing.T) {
	for _, name := range Names() {
		virtual(t, func(t *testing.T, s *wstest.Server) {
			target := targetOf(s)
			target.TLS = s.ClientTLS()
			target.Without = []string{name}
			r := examine(t, target)
			assert.Empty(t, r.Failed(), name)
		}, wstest.WithTLS())
	}
}

func TestWrongTargets(t *testing.T) {
	for want, target := range map[string]Target{
		"must be ws or wss":   {URL: "http://example.com"},
		"the URL has no host": {URL: "ws:///path"},
		"cannot be parsed":    {URL: "ws://a b/?token=secret"},
		"must be one of dns":  {URL: "ws://example.com", Without: []string{"no"}},
		"must not be below":   {URL: "ws://example.com", Silence: -1},
		"WithSubprotocols":    {URL: "ws://example.com", Subprotocols: []string{"a b"}},
	} {
		_, err := NewPlan(target)
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "secret")
		_, err = Examine(t.Context(), target, nil)
		require.ErrorContains(t, err, want)
	}
}

func TestAnExaminationEndsWithItsContext(t *testing.T) {
	virtual(t, func(t *testing.T, s *wstest.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		r, err := Examine(ctx, targetOf(s), func(Finding) {})
		require.NoError(t, err)
		assert.Less(t, time.Since(began), 25*time.Second)
		assert.Equal(t, Skipped, r.Finding("client").Verdict)
	})
}
