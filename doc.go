// Package wechatws is a client that stays connected to a WebSocket backend of the
// WeChat Mini Program kind: JSON text messages routed by msg_type, an application
// heartbeat, a login message on every open, and a tiered reconnect schedule.
//
// It mirrors the class wechat-websocket.js of a Mini Program, without its faults,
// and adds what a service needs that runs for a year: half-open connections are
// found, what Send accepted is written in order or handed back, permanent errors are
// distinguished from temporary ones, and the machine's network is watched.
//
//	client, err := wechatws.New("wss://live.example.com/ws",
//		wechatws.WithLogin(func(ctx context.Context) (any, error) {
//			return Login{MsgType: "login", Token: token()}, nil
//		}))
//	if err != nil {
//		return err
//	}
//	wechatws.On(client, "message", func(ctx context.Context, c Comment) {
//		log.Printf("%s: %s", c.From, c.Content)
//	})
//	return client.Run(ctx) // until ctx ends, or something is final
//
// # How it works
//
// A [Client] holds options and callbacks. [Client.Connect] and [Client.Run] start
// a session: one goroutine that dials, reads, waits and dials again, so that there
// is never more than one connection. An idle client costs that goroutine and a
// timer; the writer and the dispatcher exist while there is something to write or
// to dispatch.
//
// Callbacks run one at a time and in order: a connection's open event, its
// messages, its close event. They may block, panic, and call every method of the
// client. While they block, messages wait up to a bound (1,024 messages, 4 MiB), and
// then the peer is slowed down; the heartbeat goes on.
//
// # Errors
//
// States are sentinels for errors.Is, such as [ErrClosed] and [ErrQueueFull];
// causes are types for errors.As: [*DialError] with the step that failed,
// [*HandshakeError] with the HTTP status, [*CloseError] with the close code,
// [*DecodeError], [*UndeliveredError]. No error's text holds a URL's query, user
// info or a header's value.
//
// # Testing
//
// Package wstest has a scriptable server and a network in memory, for tests in
// virtual time.
package wechatws
