package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/inspect"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// A Comment is a message of the rooms in the examples.
type Comment struct {
	MsgType  string `json:"msg_type"`
	FromName string `json:"from_name"`
	Content  string `json:"content"`
}

// connect makes a room's client out of its spec.
func connect(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
	client, err := r.NewClient(r.Endpoint)
	if err != nil {
		return nil, err
	}
	_, err = liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str(r.ID), Name: r.Options["name"]})
	return client, err
}

// One room, one worker, a handler and a sender, all in this process, with NATS inside.
func Example() {
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	f, err := fleet.Open(ctx) // NATS in this process, nothing to set up
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()

	// What holds rooms.
	w, err := f.NewWorker(connect, fleet.WithWorkerName("a"))
	if err != nil {
		fmt.Println(err)
		return
	}
	held := make(chan error)
	go func() { held <- w.Run(ctx) }()

	// What there is to hold.
	err = f.Control().Add(ctx, fleet.Spec{ID: "9527", Endpoint: backend.URL(), Options: map[string]string{"name": "bot"}})
	if err != nil {
		fmt.Println(err)
		return
	}

	// What is done about what is said.
	h, err := f.NewHandlers("bot", fleet.WithFromStart())
	if err != nil {
		fmt.Println(err)
		return
	}
	answered := make(chan bool)
	fleet.On(h, "message", func(ctx context.Context, m fleet.Message, c Comment) error {
		fmt.Printf("%s in room %s: %s\n", c.FromName, m.Room, c.Content)
		if c.FromName == "bot" {
			close(answered)
			return nil
		}
		return f.Send(ctx, m.Room, Comment{"message", "bot", "9.90"})
	})
	handled := make(chan error)
	go func() { handled <- h.Run(ctx) }()

	for backend.Viewers("9527") == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	backend.Say("9527", "guest", "What does the tea cost?")
	<-answered

	cancel() // the worker hands its rooms over, and the callbacks that run come to their end
	fmt.Println(<-held, <-handled)
	// Output:
	// guest in room 9527: What does the tea cost?
	// bot in room 9527: 9.90
	// <nil> <nil>
}

// A cluster of three servers, with credentials and TLS. (It is not run: there is none.)
func ExampleOpen() {
	ctx := context.Background()

	f, err := fleet.Open(ctx,
		fleet.WithNATS("tls://nats-0:4222,tls://nats-1:4222,tls://nats-2:4222",
			nats.UserCredentials("/etc/fleet/worker.creds"),
			nats.RootCAs("/etc/fleet/ca.pem"),
		),
		fleet.WithReplicas(3),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
}

// A room's token is looked up by the worker, and is nowhere in the fleet.
func ExampleRoom_Secret() {
	os.Setenv("LIVE_TOKEN", "s3cret")
	defer os.Unsetenv("LIVE_TOKEN")
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f, err := fleet.Open(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()

	connected := make(chan bool, 1)
	w, err := f.NewWorker(func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) {
		token, err := r.Secret(ctx, "token")
		if err != nil {
			return nil, err
		}
		fmt.Printf("room %s, user %s, a token of %d letters\n", r.ID, r.IDs["user"], len(token))
		connected <- true
		return r.NewClient(r.Endpoint + "?token=" + token)
	}, fleet.WithSecrets(fleet.LookUpSecret("env:LIVE_*", "file:/run/secrets/live/"))) // and nothing else
	if err != nil {
		fmt.Println(err)
		return
	}
	held := make(chan error)
	go func() { held <- w.Run(ctx) }()

	err = f.Control().Add(ctx, fleet.Spec{
		ID:       "9527",
		Endpoint: backend.URL(),
		IDs:      map[string]string{"room": "9527", "user": "42"},
		Options:  map[string]string{"name": "bot"},
		Secrets:  map[string]string{"token": "env:LIVE_TOKEN"}, // or file:/run/secrets/live/token
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	<-connected
	cancel()
	fmt.Println(<-held)
	// Output:
	// room 9527, user 42, a token of 6 letters
	// <nil>
}

// A handler that keeps what it has done by Message.Seq does not mind a message that comes
// again.
func ExampleOn() {
	backend, f, stop := exampleFleet("9527")
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	done := map[uint64]bool{} // in the database where the orders are
	again := make(chan bool)
	h, err := f.NewHandlers("orders", fleet.WithFromStart(), fleet.WithRetryAfter(50*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	fleet.On(h, "message", func(ctx context.Context, m fleet.Message, c Comment) error {
		if done[m.Seq] {
			fmt.Println("seen already")
			close(again)
			return nil
		}
		fmt.Printf("%s orders: %s\n", c.FromName, c.Content)
		done[m.Seq] = true
		return context.DeadlineExceeded // as if what comes after it had failed
	})
	handled := make(chan error)
	go func() { handled <- h.Run(ctx) }()

	backend.Say("9527", "guest", "one tea")
	<-again
	cancel()
	fmt.Println(<-handled)
	// Output:
	// guest orders: one tea
	// seen already
	// <nil>
}

// A message that no attempt can handle is a dead letter, and is handled when the handlers are mended.
func ExampleControl_Replay() {
	backend, f, stop := exampleFleet("9527")
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	customers := sync.Map{}
	h, err := f.NewHandlers("orders", fleet.WithFromStart())
	if err != nil {
		fmt.Println(err)
		return
	}
	results := make(chan string)
	fleet.On(h, "message", func(ctx context.Context, m fleet.Message, c Comment) error {
		if _, ok := customers.Load(c.FromName); !ok {
			return wechatws.Permanent(errors.New("no such customer"))
		}
		results <- c.FromName + " orders: " + c.Content
		return nil
	})
	h.OnError(func(m fleet.Message, err error) { go func() { results <- err.Error() }() })
	handled := make(chan error)
	go func() { handled <- h.Run(ctx) }()

	backend.Say("9527", "guest", "one tea")
	fmt.Println(<-results)
	customers.Store("guest", true)
	for again := true; again; time.Sleep(10 * time.Millisecond) { // until it is there
		for dead, err := range f.Control().DeadLetters(ctx) {
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println(dead.Group, dead.Room, dead.Reason)
			if err := f.Control().Replay(ctx, dead.ID); err != nil {
				fmt.Println(err)
				return
			}
			again = false
		}
	}
	fmt.Println(<-results)
	cancel()
	fmt.Println(<-handled)
	// Output:
	// no such customer
	// orders 9527 no such customer
	// guest orders: one tea
	// <nil>
}

// A message is sent until the room has answered with its echo, or for a minute.
func ExampleConfirmedBy() {
	_, f, stop := exampleFleet("9527")
	defer stop()
	ctx := context.Background()

	text := "9.90, order 1234"
	err := f.Send(ctx, "9527", Comment{"message", "bot", text},
		fleet.ConfirmedBy(fleet.Match{Type: "message", Fields: map[string]any{"content": text}}),
		fleet.ExpireAfter(time.Minute),
		fleet.MessageID("order-1234"), // so that this Send may be repeated when its answer is lost
	)
	fmt.Println(err)

	err = f.Send(ctx, "no such room", Comment{"message", "bot", text})
	fmt.Println(err)
	// Output:
	// <nil>
	// fleet: no such room: "no such room"
}

// Watch yields every room, and then each that changes.
func ExampleControl_Watch() {
	_, f, stop := exampleFleet("9527")
	defer stop()
	ctx := context.Background()

	for room, err := range f.Control().Watch(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if room.Removed {
			fmt.Printf("room %s is gone\n", room.ID)
			break
		}
		if room.Worker != "" {
			fmt.Printf("room %s is held by %s\n", room.ID, room.Worker)
			undelivered, err := f.Control().Remove(ctx, room.ID)
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println(undelivered, "messages had not been delivered")
		}
	}
	// Output:
	// room 9527 is held by a
	// 0 messages had not been delivered
	// room 9527 is gone
}

// The page of the rooms of all workers.
func ExampleFleet_Rows() {
	_, f, stop := exampleFleet("9527")
	defer stop()

	page := inspect.New()
	page.AddRows(f.Rows()) // requests rows from all workers while the page is open
	http.Handle("/rooms/", page)
}

// exampleFleet is a fleet with one worker that is in one room already.
func exampleFleet(room string) (backend *liveroomtest.Backend, f *fleet.Fleet, stop func()) {
	backend = liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	ctx, cancel := context.WithCancel(context.Background())
	f, err := fleet.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	w, err := f.NewWorker(connect, fleet.WithWorkerName("a"))
	if err != nil {
		log.Fatal(err)
	}
	held := make(chan error)
	go func() { held <- w.Run(ctx) }()
	if err := f.Control().Add(ctx, fleet.Spec{ID: room, Endpoint: backend.URL()}); err != nil {
		log.Fatal(err)
	}
	for backend.Viewers(room) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	return backend, f, func() {
		cancel()
		<-held
		f.Close()
		backend.Close()
	}
}
