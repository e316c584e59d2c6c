// Package liveroomtest is a live-room backend for tests and demos: rooms,
// broadcast, counts, a history of comments, and the ways in which real backends of
// this protocol differ from what one would expect, each as a switch.
//
//	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
//	defer backend.Close()
//	client, err := wechatws.New(backend.URL())
//
// It stands on package wstest: Server gives what that can do, such as connections
// that are cut or fall silent, and the options of NewBackend put it on a network in
// memory, for tests in virtual time.
package liveroomtest
