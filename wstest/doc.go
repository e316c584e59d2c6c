// Package wstest is a scriptable WebSocket server and a network in memory, for
// testing clients that have to stay connected.
//
// On a call of the test, a [Server] accepts or refuses handshakes, answers late or never,
// cuts connections, restarts, stops reading, ignores pings or loses all packets; and it
// records what it received and when. It listens on a loopback port, or on a [Network]
// in memory. The latter works inside a testing/synctest bubble, where an outage
// of an hour takes a millisecond:
//
//	func TestBotComesBack(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			network := wstest.NewNetwork()
//			server := wstest.NewServer(wstest.WithNetwork(network))
//			defer server.Close()
//
//			bot := startBot(server.URL(), network.DialContext)
//			defer bot.Close()
//			conn, _ := server.NextConn(t.Context())
//
//			server.Stop(wstest.RST)
//			time.Sleep(time.Hour)
//			server.Start()
//			conn, err := server.NextConn(t.Context()) // the bot is back
//			…
//		})
//	}
//
// With a wechatws client, pass [Network.DialContext] to wechatws.WithNetDial, and
// wechatws.WithProxy(nil) so that the machine's proxy settings are not used.
//
// Names that begin with With are options, those that begin with On register a function.
package wstest
