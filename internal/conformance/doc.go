// Package conformance has the one test suite for WebSocket connections. It runs over each
// transport that a client of package wechatws can have: the default one, also with WithStrict,
// and the Dialers of packages transport/coder and transport/nhooyr.
//
// TestCases plays the cases of the Autobahn test suite for clients (sections 1 to 7, 9, 10, 12
// and 13, under its numbers) and some more of RFC 6455 and RFC 7692, frame by frame, on real
// sockets. Each case is a row of a table: the bytes that the server sends, and what the client
// must answer. Where a transport does otherwise, deviations_test.go has the reason, and the
// suite fails as soon as the transport conforms. TestDialers has the contract of
// transport.Dialer and transport.Conn, and TestClients a whole client on each transport:
//
//	go test ./internal/conformance -run 'TestCases/nhooyr/7\.'
package conformance
