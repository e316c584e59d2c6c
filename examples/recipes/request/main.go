// Request asks and waits for the reply: with a timeout, from inside a callback, over
// a connection that breaks, and for orders that must arrive whatever happens.
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

// A question and its answer know each other by an id, which makes any number of
// questions at a time possible. With a server that has no ids, match by what it does
// repeat, and ask one thing at a time.
type question struct {
	Type string `json:"msg_type"`
	ID   string `json:"id"`
	Item string `json:"item"`
}

type answer struct {
	ID    string `json:"id"`
	Price int    `json:"price"`
}

// answers recognises the answer to a question. It is shown all that arrives.
func answers(id string) func(wechatws.Message) bool {
	return func(m wechatws.Message) bool {
		var a answer
		return m.Type == "answer" && m.Decode(&a) == nil && a.ID == id
	}
}

// A shop asks a server for prices and places orders there.
type shop struct {
	client  *wechatws.Client
	timeout time.Duration // for one question
}

// price asks for the price of an item.
func (s *shop) price(ctx context.Context, item string) (int, error) {
	// Request waits for as long as its context lets it, also while there is no
	// connection. In a callback the context that it was given ends with the client, and
	// this deadline keeps a mute server from holding up all other callbacks.
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	q := question{"question", rand.Text(), item}
	m, err := s.client.Request(ctx, q, answers(q.ID))
	if errors.Is(err, wechatws.ErrConnectionLost) && ctx.Err() == nil {
		// Asked, and nobody knows whether it was heard. The client does not decide that
		// a second time does no harm; for a question we know.
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

// order returns when the server has confirmed an order. It is sent until then, on
// every new connection and each time the confirmation is late, always with the same
// id: by that the server knows it again, and books it once.
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

	// A callback may ask: it waits for the answer without being in its way.
	told := make(chan error, 1)
	wechatws.On(client, "visitor", func(ctx context.Context, v struct{ Wants string }) {
		price, err := s.price(ctx, v.Wants)
		say("a visitor wants %s: ¥%d", v.Wants, price)
		told <- err
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

	_, err = s.price(ctx, "moon") // which this server never answers
	say("%v", err)

	if err := conn.SendJSON(map[string]string{"msg_type": "visitor", "wants": "cake"}); err != nil {
		return err
	}
	if err := <-told; err != nil {
		return err
	}

	server.cutNext("question", wstest.RST)
	price, err = s.price(ctx, "cup")
	say("cup, over a connection that broke: ¥%d, %v", price, err)

	server.cutNext("order", wstest.RST)
	err = s.order(ctx, "order-1", "tea")
	heard, booked := server.orders("order-1")
	say("order-1, over another one: %v; heard %d times, booked %d time", err, heard, booked)
	return nil
}
