package console

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A user types at a model, and looks at it.
type user struct {
	t *testing.T
	m *model
}

// withUser has a connected session in virtual time, and a model of it.
func withUser(t *testing.T, test func(t *testing.T, u user, conn *wstest.Conn)) {
	virtual(t, func(t *testing.T, server *wstest.Server, s *session) {
		s.do(action{verb: connect})
		u := user{t, newModel(t.Context(), s)}
		test(t, u, nextConn(t, server))
	})
}

func (u user) types(text string) {
	for _, r := range text {
		u.m.Update(tea.KeyPressMsg{Code: r, Text: string(r)})
	}
}

// press presses a key, and does the command that comes of it.
func (u user) press(code rune) tea.Msg {
	if _, cmd := u.m.Update(tea.KeyPressMsg{Code: code}); cmd != nil {
		return cmd()
	}
	return nil
}

func (u user) enters(line string) tea.Msg {
	u.types(line)
	return u.press(tea.KeyEnter)
}

// screen is what the user sees once everything that goes on has settled.
func (u user) screen() string {
	synctest.Wait()
	u.m.Update(u.m.next())
	return ansi.Strip(u.m.View().Content)
}

func (u user) sees(want string) {
	u.t.Helper()
	if screen := u.screen(); !strings.Contains(screen, want) {
		u.t.Errorf("no %q in\n%s", want, screen)
	}
}

var countdown = regexp.MustCompile(` waiting(?:, next try in)? (\d\.\d)s · `)

func (u user) countdown() float64 {
	u.t.Helper()
	screen := u.screen()
	found := countdown.FindStringSubmatch(screen)
	if found == nil {
		u.t.Fatalf("no countdown in\n%s", screen)
	}
	seconds, _ := strconv.ParseFloat(found[1], 64)
	return seconds
}

func TestTypingAComment(t *testing.T) {
	withUser(t, func(t *testing.T, u user, conn *wstest.Conn) {
		u.types("你好 x")
		u.press(tea.KeyBackspace)
		u.types("world")
		u.sees("> 你好 world")
		u.press(tea.KeyEnter)
		expect(t, conn, `{"msg_type":"message","from_name":"Ann","content":"你好 world"}`)
		u.sees("sent >    你好 world")
		u.sees("> a comment, {JSON} or /help") // the line is empty again
		u.m.Update(tea.PasteMsg{Content: `{"msg_type":"join"}`})
		u.press(tea.KeyEnter)
		expect(t, conn, `{"msg_type":"join"}`)
	})
}

func TestHistory(t *testing.T) {
	withUser(t, func(t *testing.T, u user, _ *wstest.Conn) {
		line := func(key rune, want string) {
			t.Helper()
			u.press(key)
			if got := u.m.input.Value(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		line(tea.KeyUp, "")
		u.enters("one")
		u.enters("two")
		u.enters("two")
		u.enters("")
		u.types("unfinished")
		line(tea.KeyDown, "unfinished")
		line(tea.KeyUp, "two")
		line(tea.KeyUp, "one")
		line(tea.KeyUp, "one")
		line(tea.KeyDown, "two")
		line(tea.KeyDown, "unfinished")
		for i := range 2 * maxHistory {
			u.m.history.add(fmt.Sprint(i))
		}
		if n := len(u.m.history.lines); n != maxHistory {
			t.Errorf("%d lines remembered", n)
		}
	})
}

func TestWaitingShowsACountdown(t *testing.T) {
	withUser(t, func(t *testing.T, u user, conn *wstest.Conn) {
		u.sees(" open · attempt 1 · rtt ")
		conn.Cut(wstest.FIN)
		u.sees(" waiting, next try in 3.0s · attempt 2")
		u.enters("later")
		u.sees(" queue 1 ")
		long := u.countdown()
		time.Sleep(time.Second) // of virtual time
		u.m.Update(tea.WindowSizeMsg{Width: 40, Height: 15})
		if short := u.countdown(); long-short < 1 || long-short > 1+2*refresh.Seconds() {
			t.Errorf("it counts from %v to %v in a second", long, short)
		}
		time.Sleep(2 * time.Second)
		u.sees(" open · #2 · - · q0 · o2")
		u.m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
		u.enters("/nope")
		u.sees("error:    unknown command \"/nope\"")
		u.enters("/close")
		u.sees(" closed · ")
		time.Sleep(time.Hour)
		u.sees(" closed · ")
		u.enters("/connect")
		u.sees(" open · ")
	})
}

// The line is drawn anew while nothing arrives, or the countdown would stand still.
func TestTheScreenIsAlive(t *testing.T) {
	withUser(t, func(t *testing.T, u user, _ *wstest.Conn) {
		synctest.Wait()
		u.m.s.feed.take()
		select { // the token of what was taken just now
		case <-u.m.s.feed.ready:
		default:
		}
		began := time.Now()
		_, cmd := u.m.Update(u.m.next())
		if time.Since(began) != refresh || cmd == nil {
			t.Errorf("after %v", time.Since(began))
		}
	})
}

func TestQuitting(t *testing.T) {
	withUser(t, func(t *testing.T, u user, _ *wstest.Conn) {
		_, ctrlC := u.m.Update(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
		if _, quits := ctrlC().(tea.QuitMsg); !quits {
			t.Error("Ctrl-C does not quit")
		}
		if _, quits := u.enters("/quit").(tea.QuitMsg); !quits {
			t.Error("/quit does not quit")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		u.m.s.feed.take()
		synctest.Wait()
		u.m.ctx = ctx
		for range 10 { // with something in the feed, it may come first
			if _, quits := u.m.next().(tea.QuitMsg); quits {
				return
			}
		}
		t.Error("the end of the context does not quit")
	})
}

func TestScrolling(t *testing.T) {
	withUser(t, func(t *testing.T, u user, conn *wstest.Conn) {
		say := func(n int) {
			if err := conn.SendJSON(comment{"message", "Bob", fmt.Sprintf("number %d.", n)}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 100 {
			say(n)
		}
		u.sees("number 99.")
		u.press(tea.KeyPgUp)
		before := u.screen()
		for n := 100; n < 107; n++ {
			say(n)
		}
		u.sees("PgDn: 7 new")
		if first := strings.Split(before, "\n")[0]; strings.Split(u.screen(), "\n")[0] != first {
			t.Errorf("what is read has moved:\n%s\nwas\n%s", u.screen(), before)
		}
		u.press(tea.KeyPgDown)
		u.press(tea.KeyPgDown)
		u.sees("number 106.")
		if screen := u.screen(); strings.Contains(screen, "new") {
			t.Error(screen)
		}
		u.press(tea.KeyPgUp)
		u.enters("/stats") // one's own line brings back the end
		u.sees("connections opened 1")
	})
}

func TestTheTranscriptIsBounded(t *testing.T) {
	var tr transcript
	tr.resize(40, 10)
	f := newFormatter("")
	var first string
	for n := range maxEntries + 500 {
		tr.add([]entry{f.entry(note, "", fmt.Sprintf("%d %s", n, strings.Repeat("x", 50)))})
		if n == maxEntries/2 {
			tr.pageUp()
			first, _, _ = strings.Cut(tr.view(), "\n")
		}
	}
	if len(tr.entries) != maxEntries || len(tr.counts) != maxEntries || len(tr.rows) != 2*maxEntries {
		t.Errorf("%d entries, %d counts, %d rows", len(tr.entries), len(tr.counts), len(tr.rows))
	}
	if now, _, _ := strings.Cut(tr.view(), "\n"); now != first {
		t.Errorf("what is read has moved from %q to %q", first, now)
	}
}

// Whatever the size and the text, no row is wider than the screen, and there are as
// many as it has.
func TestEverythingFitsTheScreen(t *testing.T) {
	withUser(t, func(t *testing.T, u user, conn *wstest.Conn) {
		for _, text := range []string{
			strings.Repeat("你好，世界", 30),
			strings.Repeat("a", 200),
			strings.Repeat("👋🏽é🇩🇪❤️", 30),
			strings.Repeat("some words ", 20),
		} {
			if err := conn.SendJSON(comment{"message", "小红", text}); err != nil {
				t.Fatal(err)
			}
		}
		u.enters("/help")
		u.types(strings.Repeat("宽", 100))
		for _, size := range [][2]int{{80, 24}, {40, 15}, {41, 15}, {200, 60}, {13, 5}} {
			u.m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
			rows := strings.Split(u.screen(), "\n")
			if len(rows) != size[1] {
				t.Errorf("%v: %d rows", size, len(rows))
			}
			for _, row := range rows {
				if ansi.StringWidth(row) > size[0] {
					t.Errorf("%v: %d cells: %s", size, ansi.StringWidth(row), row)
				}
			}
		}
		for _, size := range [][2]int{{1, 1}, {0, 0}, {2, 3}} { // too small for anything, but no panic
			u.m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
			u.screen()
		}
	})
}

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []string
	}{
		{"", []string{""}},
		{"0123456789", []string{"0123456789"}},
		{"0123456789ab", []string{"0123456789", "ab"}},
		{"012345 789ab", []string{"012345", "789ab"}},
		{"01 3456789ab", []string{"01 3456789", "ab"}}, // a break after 01 would leave it half empty
		{"你好你好你好", []string{"你好你好你", "好"}},
		{"a你好你好你好", []string{"a你好你好", "你好"}},
	} {
		if got := wrap(test.in, 10, 2); strings.Join(got, "|") != strings.Join(test.want, "|") {
			t.Errorf("wrap(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

// The real program, without a terminal: it draws, sends, and ends cleanly.
func TestScreen(t *testing.T) {
	server := wstest.NewServer()
	defer server.Close()
	s, err := newSession(Config{URL: server.URL(), Name: "Ann"})
	if err != nil {
		t.Fatal(err)
	}
	in, keyboard := io.Pipe()
	defer func() { _ = keyboard.Close() }()
	out := newOutput()
	done := make(chan error, 1)
	go func() {
		done <- runScreen(t.Context(), s, out, tea.WithInput(in), tea.WithWindowSize(80, 24))
	}()
	conn := nextConn(t, server)
	if err := conn.Send(`{"msg_type":"message","from_name":"Bob","content":"\u001b]0;evil\u0007hello"}`); err != nil {
		t.Fatal(err)
	}
	out.waitFor(t, `Bob: \x1b]0;evil\ahello`)
	if _, err := io.WriteString(keyboard, "hi\r"); err != nil {
		t.Fatal(err)
	}
	expect(t, conn, `{"msg_type":"message","from_name":"Ann","content":"hi"}`)
	if _, err := io.WriteString(keyboard, "/quit\r"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	expectClosed(t, conn)
	if strings.Contains(out.String(), "\x1b]0;evil") {
		t.Errorf("%q", out)
	}
}

func TestScreenEndsWithItsContext(t *testing.T) {
	server := wstest.NewServer()
	defer server.Close()
	s, err := newSession(Config{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	in, keyboard := io.Pipe()
	defer func() { _ = keyboard.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := newOutput()
	done := make(chan error, 1)
	go func() { done <- runScreen(ctx, s, out, tea.WithInput(in), tea.WithWindowSize(80, 24)) }()
	conn := nextConn(t, server)
	out.waitFor(t, "open")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	expectClosed(t, conn)
	if state := s.status().State; state != wechatws.StateClosed {
		t.Errorf("state %v", state)
	}
}

func BenchmarkAdd(b *testing.B) {
	var tr transcript
	tr.resize(80, 24)
	e := []entry{newFormatter("").entry(received, "message", strings.Repeat("你好 ", 20))}
	for range maxEntries {
		tr.add(e)
	}
	for b.Loop() {
		tr.add(e)
	}
}
