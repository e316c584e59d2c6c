// Package fleet holds more rooms than one process can, and keeps holding them when a process, a
// machine or a network is lost. A room is anything that one [wechatws.Client] is connected to; a
// fleet is any number of worker processes that share rooms among themselves, over NATS with
// JetStream.
//
//	f, err := fleet.Open(ctx, fleet.WithNATS("nats://nats-0,nats-1,nats-2"), fleet.WithReplicas(3))
//
// In the processes that hold the rooms, none of which is special:
//
//	w, err := f.NewWorker(func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) {
//		return r.NewClient(r.Endpoint)
//	})
//	err = w.Run(ctx) // hands the rooms over when ctx ends
//
// In the processes that administer rooms, handle messages, and send messages:
//
//	err = f.Control().Add(ctx, fleet.Spec{ID: "9527", Endpoint: "wss://live.example.com/ws"})
//
//	h, err := f.NewHandlers("bot")
//	fleet.On(h, "message", func(ctx context.Context, m fleet.Message, c Comment) error { … })
//	err = h.Run(ctx)
//
//	err = f.Send(ctx, "9527", Comment{…})
//
// # Guarantees
//
// A room has one holder at most. The lease of a worker runs out when the worker cannot renew it,
// and the worker has closed its clients before that; before each write to a socket the clock is
// checked, and the stream refuses what a former holder publishes. See docs/fleet-design.md for the
// protocol, its assumptions and its limits.
//
// Messages from a room are in the stream in the order in which they came, each once, and are
// handled at least once, in that order. Messages to a room are written at least once, in the order
// in which they were sent; a second time only when the holder is lost or changes at that moment.
//
// # Without a server
//
// Without [WithNATS], [Open] starts a NATS server inside the process, so that one machine needs no
// setup. Everything else is the same with a NATS of its own.
package fleet
