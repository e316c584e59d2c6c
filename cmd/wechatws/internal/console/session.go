package console

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/cmd/wechatws/internal/recording"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/transport/coder"
)

// A session is the client and its state for the views, which show the entries of its feed.
type session struct {
	client *wechatws.Client
	room   *liveroom.Room // nil without Config.Room
	feed   *feed
	format formatter
	name   string
	json   bool // entries have whole messages

	busy sync.Mutex // held by connect and disconnect, one at a time

	mu        sync.Mutex
	over      bool          // the program ends
	ended     chan struct{} // closed when the client's Run has returned; nil before the first one
	retryAt   time.Time     // when the next attempt is due
	runErr    error         // of the last Run
	recordErr error         // of the recording
}

// comment is the message for a line of input that is no command.
type comment struct {
	MsgType  string `json:"msg_type"`
	FromName string `json:"from_name,omitempty"`
	Content  string `json:"content"`
}

func newSession(c Config) (*session, error) {
	s := &session{feed: newFeed(), format: newFormatter(c.Secrets...), name: c.Name, json: c.JSON}
	options, err := s.recorded(c)
	if err != nil {
		return nil, err
	}
	if s.client, err = c.client(options...); err != nil {
		return nil, err
	}
	if c.Room != "" {
		s.room, err = liveroom.New(s.client, liveroom.Identity{
			RoomID: liveroom.Str(c.Room), LiveID: liveroom.Str(c.Live), UserID: liveroom.Str(c.User), Name: c.Name,
		})
		if err != nil {
			return nil, err
		}
	}
	s.listen()
	s.note("%s; /help lists the commands", where(c.URL))
	return s, nil
}

// recorded returns the option of a client that is recorded, with a dialer; nothing without a recording.
func (s *session) recorded(c Config) ([]wechatws.Option, error) {
	if c.Record == nil {
		return nil, nil
	}
	r := c.Recording
	r.URL, r.Problem = where(c.URL), s.recordingFailed
	w, err := recording.NewWriter(c.Record, r)
	if err != nil {
		return nil, err
	}
	return []wechatws.Option{wechatws.WithDialer(w.Dialer(coder.Dialer{}))}, nil
}

// recordingFailed reports that a recording cannot go on. Unless it has reached its limit, that is an error of
// the session.
func (s *session) recordingFailed(err error) {
	s.fail(err)
	if !errors.Is(err, recording.ErrFull) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.recordErr = err
	}
}

// recordingErr returns why the recording is not complete, or nil.
func (s *session) recordingErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recordErr
}

// where returns a URL without its possibly secret parts, to which the path belongs.
func where(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "connecting"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}

func (s *session) note(format string, args ...any) {
	s.feed.put(s.format.entry(note, "", fmt.Sprintf(format, args...)))
}

func (s *session) fail(err error) { s.feed.put(s.format.entry(failure, "", err.Error())) }

// do runs an action, and puts its result into the feed. Connecting and disconnecting may take a
// few seconds; the other actions do not block.
func (s *session) do(a action) {
	switch a.verb {
	case say:
		s.send(a.text, s.say(a.text))
	case raw:
		s.send(a.text, s.client.Send(context.Background(), wechatws.Text(a.text)))
	case reconnect:
		if err := s.client.Reconnect(); err != nil {
			s.refused("no reconnect", err)
		}
	case connect:
		s.connect()
	case disconnect:
		s.disconnect()
	case stats:
		s.stats()
	case showHelp:
		for _, line := range help {
			s.note("%s", line)
		}
	}
}

// say sends a comment: in a room with all fields of the protocol, otherwise with the name only.
func (s *session) say(text string) error {
	if s.room != nil {
		return s.room.Say(context.Background(), text)
	}
	return s.client.Send(context.Background(), comment{"message", s.name, text})
}

func (s *session) send(text string, err error) {
	if err != nil {
		s.refused("not sent", err)
		return
	}
	label := "sent"
	if s.client.State() != wechatws.StateOpen {
		label = "queued"
	}
	s.feed.put(s.whole(s.format.entry(sent, label, text), message{event: label, data: []byte(text)}))
}

// refused puts the client's error into the feed, with a hint if there is one.
func (s *session) refused(what string, err error) {
	hint := ""
	if errors.Is(err, wechatws.ErrClosed) {
		hint = "; /connect opens it again"
	}
	s.fail(fmt.Errorf("%s: %w%s", what, err, hint))
}

func (s *session) stats() {
	c := s.client.Stats()
	s.note("state %v, attempt %d, connections opened %d", c.State, c.Attempt, c.Opens)
	s.note("round trip %s, smoothed %s", roundTrip(c.RTT), roundTrip(c.SmoothedRTT))
	s.note("queue %d messages, %d bytes; inbox %d messages", c.Queued, c.QueuedBytes, c.Inbox)
}

// connect starts the client, and returns when it is connecting: messages sent from then on are
// accepted.
func (s *session) connect() {
	s.busy.Lock()
	defer s.busy.Unlock()
	s.mu.Lock()
	over := s.over
	s.mu.Unlock()
	switch {
	case over: // a late line of input must not open it again
		return
	case s.running():
		s.fail(wechatws.ErrAlreadyConnected)
		return
	}

	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	remove := s.client.OnStateChange(func(_ context.Context, c wechatws.StateChange) {
		if c.To == wechatws.StateConnecting || c.To == wechatws.StateOffline {
			begin()
		}
	})
	defer remove()

	ended := make(chan struct{})
	s.mu.Lock()
	s.ended, s.runErr = ended, nil
	s.mu.Unlock()
	go func() {
		err := s.client.Run(context.Background()) // ended by disconnect, with its close code
		s.mu.Lock()
		s.runErr = err
		s.mu.Unlock()
		close(ended)
		s.feed.wake()
	}()
	select {
	case <-begun:
	case <-ended:
	}
}

// running reports whether there is a Run that has not returned.
func (s *session) running() bool {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended == nil {
		return false
	}
	select {
	case <-ended:
		return false
	default:
		return true
	}
}

// err returns the error of the last Run: permanent, or about messages that were not delivered.
func (s *session) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runErr
}

// disconnect is the manual close. It blocks until Run has returned.
func (s *session) disconnect() {
	s.busy.Lock()
	defer s.busy.Unlock()
	if !s.running() {
		s.note("it is closed already; /connect opens it again")
		return
	}
	s.closeClient()
}

func (s *session) closeClient() {
	if err := s.client.Close(wechatws.StatusNormalClosure, ""); err != nil { // such as messages that were not delivered
		s.fail(err)
	}
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// shutdown closes the client for good: no input opens it again.
func (s *session) shutdown() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.busy.Lock()
	defer s.busy.Unlock()
	s.closeClient()
}

// moved records when the next attempt is due.
func (s *session) moved(c wechatws.StateChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retryAt = time.Time{}
	if c.RetryIn > 0 {
		s.retryAt = time.Now().Add(c.RetryIn)
	}
}

// A status is the content of the status line.
type status struct {
	wechatws.Stats
	retryAt time.Time
}

func (s *session) status() status {
	s.mu.Lock()
	retryAt := s.retryAt
	s.mu.Unlock()
	return status{s.client.Stats(), retryAt}
}
