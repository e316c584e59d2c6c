package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wechatws/wechatws/fleet/internal/audit"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// A record has the events of the backend.
type record struct {
	Holds []audit.Hold
	Sent  map[int]int // how often each message of the fleet was received, by its number
}

// A look is a snapshot of the backend.
type look struct {
	In    map[string]string // the name of the worker in each room
	Twice int               // how often a room was held twice, until now
}

// addresses are the first line of the backend's output.
type addresses struct{ Rooms, Desk string }

// serveBackend is the backend's process. It serves the rooms, and a desk over HTTP, which returns what
// the backend has received, and makes visitors send messages.
func serveBackend(ended <-chan struct{}) error {
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()
	desk := http.NewServeMux()
	desk.HandleFunc("/say", func(_ http.ResponseWriter, r *http.Request) {
		backend.Say(r.FormValue("room"), "visitor", r.FormValue("text"))
	})
	answer := func(path string, what func(events []wstest.Event) any) {
		desk.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(what(backend.Server().Events()))
		})
	}
	answer("/look", func(events []wstest.Event) any { return newLook(audit.Holds(events)) })
	answer("/record", func(events []wstest.Event) any { return record{audit.Holds(events), sent(events)} })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: desk}
	go func() {
		<-ended
		_ = server.Close()
	}()
	if err := json.NewEncoder(os.Stdout).Encode(addresses{backend.URL(), "http://" + l.Addr().String()}); err != nil {
		return err
	}
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func newLook(holds []audit.Hold) look {
	now := look{In: map[string]string{}, Twice: len(audit.Twice(holds))}
	for _, h := range holds {
		if h.Gone.IsZero() {
			now.In[h.Room] = h.Worker
		}
	}
	return now
}

// sentPrefix is the beginning of the messages that the fleet sends; a number follows.
const sentPrefix = "from the fleet, "

// sentNumber returns the number of a message that the fleet sent.
func sentNumber(text string) (int, bool) {
	_, rest, ok := strings.Cut(text, sentPrefix)
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, `"`)
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

func sent(events []wstest.Event) map[int]int {
	times := map[int]int{}
	for _, e := range events {
		if e.Kind != wstest.EventMessage {
			continue
		}
		if n, ok := sentNumber(e.Message.Text()); ok {
			times[n]++
		}
	}
	return times
}

// A desk is a client of the backend's desk.
type desk struct {
	*process
	at     addresses
	client http.Client
}

func startBackend() (*desk, error) {
	d := &desk{client: http.Client{Timeout: 10 * time.Second}}
	var err error
	d.process, err = start(backendRole, "", func(stdout io.Reader) error {
		return json.NewDecoder(stdout).Decode(&d.at)
	})
	return d, err
}

func (d *desk) close() {
	d.client.CloseIdleConnections()
	d.end()
}

func (d *desk) say(room, text string) error {
	return d.ask("/say?"+url.Values{"room": {room}, "text": {text}}.Encode(), nil)
}

func (d *desk) look() (now look, err error) { return now, d.ask("/look", &now) }

func (d *desk) record() (all record, err error) { return all, d.ask("/record", &all) }

func (d *desk) ask(what string, answer any) error {
	r, err := d.client.Get(d.at.Desk + what)
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	defer r.Body.Close()
	if answer == nil {
		_, err = io.Copy(io.Discard, r.Body)
		return err
	}
	return json.NewDecoder(r.Body).Decode(answer)
}
