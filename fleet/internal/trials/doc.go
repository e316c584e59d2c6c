// Package trials tries a fleet with what only real processes and a real cluster do: workers
// that are killed, stopped and cut off, and NATS servers that are. There is nothing in
// it but tests.
//
//	go test -v ./internal/trials        # with the figures
package trials
