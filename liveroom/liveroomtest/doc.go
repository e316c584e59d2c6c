// Package liveroomtest is a live-room backend for tests and demos: rooms,
// broadcast, counts, a history of comments, and the behavior in which real backends of
// this protocol differ, each as a field of [Quirks].
//
//	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
//	defer backend.Close()
//	client, err := wechatws.New(backend.URL())
//
// It is built on package wstest: [Backend.Server] has what that can do, such as cutting
// connections or losing packets, and with wstest.WithNetwork as an option of [NewBackend]
// it listens on a network in memory, for tests in virtual time.
package liveroomtest
