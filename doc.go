// Package wechatws is a client that stays connected to a WebSocket backend of the WeChat
// Mini Program kind: JSON text messages routed by msg_type, an application heartbeat, a login
// message on every connection, and a tiered reconnect schedule.
//
// It mirrors the class wechat-websocket.js of a Mini Program, without its faults, and adds what
// a service that runs for a year needs: half-open connections are found, accepted messages are
// written in order or handed back, permanent errors are distinguished from temporary ones, and
// the machine's network is watched.
//
// This program logs in, prints comments and answers them until Ctrl-C:
//
//	type Message struct {
//		MsgType string `json:"msg_type"`
//		Content string `json:"content"`
//	}
//
//	func main() {
//		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
//		client, err := wechatws.New("wss://live.example.com/ws",
//			wechatws.WithLoginMessage(map[string]string{"msg_type": "login", "token": "secret"}))
//		if err != nil {
//			log.Fatal(err)
//		}
//		wechatws.On(client, "message", func(ctx context.Context, m Message) {
//			log.Print(wechatws.Printable(m.Content))
//			if err := client.Send(ctx, Message{MsgType: "reply", Content: "welcome"}); err != nil {
//				log.Print(err)
//			}
//		})
//		err = client.Run(ctx)
//		stop()
//		if err != nil {
//			log.Fatal(err)
//		}
//	}
//
// # Lifecycle
//
// [New] makes a [Client] from a URL and options, and does no I/O. [Client.Connect] returns at
// the first open connection; [Client.Run] returns at the end, and suits an errgroup. Both start
// a session: one goroutine that dials, reads, waits and dials again, so that there is never more
// than one connection. An idle client costs that goroutine and a timer; the writer and the
// goroutine of the callbacks exist while there is something to write or to call. The WebSocket
// protocol is implemented by this module; [WithDialer] replaces that by another library.
//
// A new connection sends the login ([WithLogin]), then runs the functions of
// [Client.AfterConnect], and then it is open: what [Client.Keep] keeps is written, then the queue,
// and heartbeats begin. When it ends, the next attempt follows by the schedule. [Client.State] is the current [State], and
// [Client.OnStateChange] reports each change.
//
// Four calls end a client; none of them is followed by a reconnect:
//
//   - [Client.Shutdown] is the graceful end: callbacks finish and the queue is written, for as
//     long as its context lasts.
//   - [Client.Close] is bounded: by the drain timeout and a close handshake of 2 s. It does not
//     wait for callbacks.
//   - [Client.CloseNow] ends the connection at once and does not block.
//   - The end of the context of Run does what Close does.
//
// Each returns the messages that were accepted and not written as an [*UndeliveredError]; they
// may be sent again. [Client.Done] is closed when all goroutines of the client have ended. After
// the end, Connect and Run start a new session.
//
// # Callbacks
//
// [On] registers a function for the messages of one type, decoded into a Go type.
// [Client.OnMessage] receives all messages, and [Client.OnUnknown] those without a function of
// On. [Client.OnOpen], [Client.OnClose], [Client.OnError], [Client.OnStateChange] and
// [Client.OnNetworkChange] are for everything else that happens. [Client.Messages] is a loop
// over messages instead of callbacks.
//
// Callbacks run one at a time and in order: a connection's open event, its messages, its close
// event. [WithParallel] runs those of different keys at the same time. They may block, panic, and
// call every method of the client. While they block, messages wait up to a bound (1,024 messages,
// 4 MiB), and then the client stops reading, so that TCP slows the peer down. Heartbeats continue.
//
// # Sending
//
// [Client.Send] accepts a message, which is written when there is a connection, in the order of
// acceptance. [Client.Request] also waits for the answer, and [Call] for the one with the same id.
// [Client.SendConfirmed] waits for a confirmation, and sends the message again on the next
// connection until there is one. [Client.Flush] waits until everything that was accepted is written. A value is encoded by the
// codec; [Text], [Binary] and [Outbound] are sent as they are. [ExpireAfter], [FailFast],
// [EncodeOnWrite] and [ConfirmTimeout] are options of one message.
//
// # Options
//
// Each option has a default. A later option replaces an earlier one that sets the same thing.
//
//   - Connect, where to and how: [WithEndpoint], [WithEndpoints], [WithHeader],
//     [WithSubprotocols], [WithCookieJar], [WithCrossHostRedirects], [WithTLSConfig],
//     [WithProxy], [WithNetDial], [WithDialer], [WithDialTimeout], [WithReadLimit],
//     [WithStrict], [WithCompression]
//   - Session, what an open connection does: [WithLogin], [WithLoginMessage],
//     [WithHeartbeat], [WithoutHeartbeat], [WithLiveness], [WithoutLiveness], [WithReply],
//     [WithTypeField], [WithTypePath], [WithTypeFunc], [WithUnpack], [WithRequestID],
//     [WithParallel], [WithCodec]
//   - Reconnect, when the next attempt follows and when none does: [WithTiers],
//     [WithBackOff], [WithoutReconnect], [WithJitter], [WithStableAfter], [WithRetryIf],
//     [WithPermanentAfter], [WithNetworkMonitor]
//   - Queue, messages that wait to be written: [WithQueue], [WithDrainTimeout]
//   - Observe: [WithLogger], [WithServerText], [WithTrace]; see also [Client.Stats]
//
// # Errors
//
// A temporary failure is followed by another attempt; a permanent one ends the client in
// [StateFailed]. Before the first open, refusals such as a 401 or a 404 are permanent; once the
// client has been open, only a refusal that lasts is. [DefaultRetryIf] has the rules, and
// [WithRetryIf] replaces them. [Permanent] marks an error of one of the program's functions.
//
// Conditions are sentinels for errors.Is, such as [ErrClosed] and [ErrQueueFull]. Causes are
// types for errors.As: [*DialError] with the phase that failed, [*HandshakeError] with the HTTP
// status, [*CloseError] with the close code, [*DecodeError], [*ReadLimitError], [*PanicError],
// [*DroppedError], [*UndeliveredError]. The text of an error contains no path, query or user info of a
// URL, and no header's value.
//
// # Testing
//
// Package wstest has a scriptable server and a network in memory, for tests in virtual time with
// testing/synctest. docs/testing.md tests a bot with it.
package wechatws
