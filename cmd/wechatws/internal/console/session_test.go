package console

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

func texts(entries []entry) string {
	var all strings.Builder
	_ = printEntries(&all, entries)
	return all.String()
}

// Nobody takes anything from the feed, and still the callbacks return, the feed is
// bounded, and the client closes.
func TestAViewThatIsGoneBlocksNothing(t *testing.T) {
	virtual(t, func(t *testing.T, server *wstest.Server, s *session) {
		s.do(action{verb: connect})
		conn := nextConn(t, server)
		for range 3 * maxWaiting {
			if err := conn.Send(`{"msg_type":"message","content":"x"}`); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := s.status().Inbox; n != 0 {
			t.Errorf("%d messages wait for a callback", n)
		}
		began := time.Now()
		s.shutdown()
		if took := time.Since(began); took > 0 {
			t.Errorf("closing took %v", took)
		}
		entries := s.feed.take()
		if len(entries) != maxWaiting+1 || !strings.Contains(entries[0].text, "lines skipped") {
			t.Errorf("%d entries, the first one %+v", len(entries), entries[0])
		}
		if left := s.feed.take(); len(left) != 0 {
			t.Errorf("took %d entries twice", len(left))
		}
	})
}

func TestCommandsThatDoNotFitTheStateSaySo(t *testing.T) {
	virtual(t, func(t *testing.T, server *wstest.Server, s *session) {
		expect := func(v verb, want string) {
			t.Helper()
			s.feed.take()
			s.do(action{verb: v, text: "x"})
			synctest.Wait()
			if got := texts(s.feed.take()); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		expect(reconnect, "error: no reconnect: ")
		expect(disconnect, "closed already")
		expect(connect, "open: connection 1")
		expect(connect, "already connected")
		expect(disconnect, "-- closed")
		expect(disconnect, "closed already; /connect opens it again")
		expect(say, "not sent: wechatws: client is closed; /connect opens it again")
		expect(reconnect, "/connect opens it again")
		expect(connect, "open: connection 2")
		expect(reconnect, "open: connection 3")
		expect(stats, "connections opened 3")
		s.shutdown()
		expect(disconnect, "closed already")
		s.do(action{verb: connect}) // the program ends
		if s.running() {
			t.Error("a late /connect has opened the client again")
		}
	})
}

func TestAFinalErrorIsToldAndConnectTriesAgain(t *testing.T) {
	virtual(t, func(t *testing.T, server *wstest.Server, s *session) {
		server.Answer(wstest.Status(401, nil, "no"))
		s.do(action{verb: connect})
		synctest.Wait()
		if got := texts(s.feed.take()); !strings.Contains(got, "error: given up, /connect tries again: ") || s.err() == nil {
			t.Errorf("err %v, got %s", s.err(), got)
		}
		s.do(action{verb: connect})
		synctest.Wait()
		if state := s.status().State; state != wechatws.StateOpen || s.err() != nil {
			t.Errorf("state %v, err %v", state, s.err())
		}
	})
}

func TestUndeliveredMessagesAreTold(t *testing.T) {
	virtual(t, func(t *testing.T, server *wstest.Server, s *session) {
		server.Stop(wstest.RST)
		s.do(action{verb: connect})
		synctest.Wait()
		s.do(action{say, "hello"})
		s.shutdown()
		if got := texts(s.feed.take()); !strings.Contains(got, " queued hello\n") || !strings.Contains(got, "not delivered") && !strings.Contains(got, "undelivered") {
			t.Errorf("got %s", got)
		}
	})
}

func TestInARoomItJoinsAndCommentsWithTheIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := liveroomtest.NewBackend(liveroomtest.Quirks{}, wstest.WithNetwork(wstest.NewNetwork()))
		defer backend.Close()
		s, err := newSession(Config{URL: backend.URL(), Name: "Ann", Room: "9527", Live: "1", User: "42",
			Options: []wechatws.Option{wechatws.WithNetDial(backend.DialContext), wechatws.WithProxy(nil)}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.shutdown()
		s.do(action{verb: connect})
		s.do(action{say, "hello"})
		conn := nextConn(t, backend.Server())
		expect(t, conn, `{"msg_type":"join","room_id":"9527","live_id":"1","from_uid":"42","client_id":"7f0000010b5400000001","is_anchor":false,"from_name":"Ann"}`)
		expect(t, conn, `{"msg_type":"message","room_id":"9527","live_id":"1","from_uid":"42","client_id":"7f0000010b5400000001","from_name":"Ann","content":"hello"}`)
		synctest.Wait()
		if got := texts(s.feed.take()); !strings.Contains(got, "message Ann: hello") {
			t.Errorf("no echo in\n%s", got)
		}
	})
}

func TestTheURLIsShownWithoutSecrets(t *testing.T) {
	if got := where("wss://user:pass@host:7/path?token=x#y"); got != "wss://host:7" {
		t.Error(got)
	}
}
