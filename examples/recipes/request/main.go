// Request sends questions and waits for the answers: with a timeout, in a callback, and over
// a connection that breaks. It also sends orders until the server has confirmed them.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A question and its answer have the same id, so that any number of questions may wait at a
// time. With a server that has no ids, match by a field that it does repeat, and send one
// question at a time.
type question struct {
	Type string `json:"msg_type"`
	ID   string `json:"id"`
	Item string `json:"item"`
}

type answer struct {
	ID    string `json:"id"`
	Price int    `json:"price"`
}

// answers returns a function that reports whether a message is the answer to a question. It is
// called with every message that arrives.
func answers(id string) func(wechatws.Message) bool {
	return func(m wechatws.Message) bool {
		var a answer
		return m.Type == "answer" && m.Decode(&a) == nil && a.ID == id
	}
}

// A shop asks a server for prices and sends it orders.
type shop struct {
	client  *wechatws.Client
	timeout time.Duration // for one question
}

// price asks for the price of an item.
func (s *shop) price(ctx context.Context, item string) (int, error) {
	// Request waits until its context ends, also while there is no connection. The context
	// of a callback ends only with the client: without this deadline a server that does
	// not answer would block all callbacks.
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	q := question{"question", rand.Text(), item}
	m, err := s.client.Request(ctx, q, answers(q.ID))
	if errors.Is(err, wechatws.ErrConnectionLost) && ctx.Err() == nil {
		// The question was written; whether the server received it is unknown. The client
		// does not send it again by itself, since that may do harm. A question does none.
		m, err = s.client.Request(ctx, q, answers(q.ID))
	}
	if err != nil {
		return 0, fmt.Errorf("price of %s: %w", item, err)
	}
	var a answer
	if err := m.Decode(&a); err != nil {
		return 0, err
	}
	return a.Price, nil
}

// order sends an order, and blocks until the server has confirmed it. The order is sent again
// on every new connection and each time the confirmation is late, always with the same id,
// by which the server books it once.
func (s *shop) order(ctx context.Context, id, item string) error {
	_, err := s.client.SendConfirmed(ctx, question{"order", id, item}, func(m wechatws.Message) bool {
		var a answer
		return m.Type == "booked" && m.Decode(&a) == nil && a.ID == id
	}, wechatws.ConfirmTimeout(s.timeout))
	return err
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	server := newServer()
	defer server.Close()
	client, err := wechatws.New(server.URL(), server.demo()...)
	if err != nil {
		return err
	}
	s := &shop{client, time.Second}
	say := log.New(out, "", 0).Printf

	// A callback may wait for an answer: answers do not wait for callbacks.
	answered := make(chan error, 1)
	wechatws.On(client, "visitor", func(ctx context.Context, v struct{ Wants string }) {
		price, err := s.price(ctx, v.Wants)
		say("a visitor wants %s: ¥%d", wechatws.Printable(v.Wants), price)
		answered <- err
	})
	if err := client.Connect(ctx); err != nil {
		return err
	}
	defer client.Close(wechatws.StatusNormalClosure, "")
	conn, err := server.NextConn(ctx)
	if err != nil {
		return err
	}

	price, err := s.price(ctx, "tea")
	say("tea: ¥%d, %v", price, err)

	_, err = s.price(ctx, "moon") // the server does not answer
	say("%v", err)

	if err := conn.SendJSON(map[string]string{"msg_type": "visitor", "wants": "cake"}); err != nil {
		return err
	}
	if err := <-answered; err != nil {
		return err
	}

	server.cutNext("question", wstest.RST)
	price, err = s.price(ctx, "cup")
	say("cup, over a connection that broke: ¥%d, %v", price, err)

	server.cutNext("order", wstest.RST)
	err = s.order(ctx, "order-1", "tea")
	heard, booked := server.orders("order-1")
	say("order-1, over another one: %v; received %d times, booked %d time", err, heard, booked)
	return nil
}
