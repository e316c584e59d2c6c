package main

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A server stands in for yours: it knows prices and books orders.
type server struct {
	*wstest.Server

	mu     sync.Mutex
	cut    map[string]wstest.Cut // by message type: the next one is received, and not answered
	heard  map[string]int        // orders, by id
	booked map[string]string
}

func newServer() *server {
	s := &server{
		Server: wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork())),
		cut:    map[string]wstest.Cut{},
		heard:  map[string]int{},
		booked: map[string]string{},
	}
	s.OnMessage(s.hear)
	return s
}

// demo returns the options that only the demo needs: a network in memory, and short waits.
func (s *server) demo() []wechatws.Option {
	return []wechatws.Option{
		wechatws.WithNetDial(s.DialContext),
		wechatws.WithProxy(nil),
		wechatws.WithTiers(wechatws.Tier{Delay: 300 * time.Millisecond}),
	}
}

func (s *server) hear(c *wstest.Conn, m wstest.Message) {
	var q question
	if json.Unmarshal(m.Data, &q) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Type == "order" {
		s.heard[q.ID]++
		s.booked[q.ID] = q.Item // a second time changes nothing
	}
	if how, found := s.cut[q.Type]; found {
		delete(s.cut, q.Type)
		c.Cut(how)
		return
	}
	switch price, known := map[string]int{"tea": 10, "cake": 25, "cup": 7}[q.Item]; {
	case q.Type == "question" && known:
		_ = c.SendJSON(map[string]any{"msg_type": "answer", "id": q.ID, "price": price})
	case q.Type == "order":
		_ = c.SendJSON(map[string]any{"msg_type": "booked", "id": q.ID})
	}
}

// cutNext ends the connection on which the next message of a type arrives.
func (s *server) cutNext(msgType string, how wstest.Cut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut[msgType] = how
}

func (s *server) orders(id string) (heard, booked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.booked[id]; found {
		booked = 1
	}
	return s.heard[id], booked
}
