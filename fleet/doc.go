// Package fleet holds more rooms than one process can, and goes on holding them when a
// process, a machine or a network is lost. A room is whatever one wechatws.Client is
// connected to; a fleet is any number of worker processes that share rooms among
// themselves, over NATS with JetStream.
//
//	f, err := fleet.Open(ctx, fleet.Config{URL: "nats://nats-0,nats-1,nats-2", Replicas: 3})
//
// In the processes that hold the rooms, none of which is special:
//
//	w, err := f.NewWorker(fleet.WorkerConfig{Connect: func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) {
//		return r.NewClient(r.Endpoint)
//	}})
//	err = w.Run(ctx) // hands the rooms over when ctx ends
//
// Wherever rooms are administered, messages are handled, and messages are sent:
//
//	err = f.Control().Add(ctx, fleet.Spec{ID: "9527", Endpoint: "wss://live.example.com/ws"})
//
//	h, err := f.NewHandlers(fleet.HandlersConfig{Group: "bot"})
//	fleet.On(h, "message", func(ctx context.Context, m fleet.Message, c Comment) error { … })
//	err = h.Run(ctx)
//
//	err = f.Send(ctx, "9527", Comment{…})
//
// # What holds
//
// A room has one holder at most. A worker's lease runs out when it cannot renew it, and
// the worker has closed its clients before that; nothing is written to a socket
// without a look at the clock, and nothing that a former holder publishes is taken by the
// stream. See docs/fleet.md for the protocol, what it stands on, and where the limits
// are.
//
// Messages from a room are in the stream in the order in which they came, each once, and
// are handled at least once, in that order. Messages to a room are written at least once,
// in the order in which they were sent; a second time only when the holder is lost or
// changes at that very moment.
//
// # Without a server
//
// Without a URL, Open starts a NATS server inside the process, so that one machine needs
// nothing set up. With a URL everything else stays the same.
package fleet
