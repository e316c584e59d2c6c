// Fleet is a thousand rooms held by three worker processes, of which one is killed, one is
// drained, and a new one joins, while people talk in the rooms, a handler counts what they
// say, and messages are sent to all of them.
//
//	go run -C fleet ./examples/fleet
//
// NATS runs inside this process, and so does the backend, which sees every word: it
// knows whether a room was ever held twice. The program ends by itself, with figures, and
// with an error when something was not as it should be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if name := os.Getenv(workerVariable); name != "" {
		if err := work(name); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
		return
	}
	rooms := flag.Int("rooms", 1000, "how many rooms")
	workers := flag.Int("workers", 3, "how many worker processes at the beginning")
	lease := flag.Duration("lease", 0, "the workers' lease (default the fleet's)")
	steady := flag.Duration("steady", 4*time.Second, "how long to look on between two events")
	flag.Parse()
	if *rooms < 1 || *workers < 2 {
		fmt.Fprintln(os.Stderr, "fleet: -rooms must be 1 or more, and -workers 2 or more: one of them is killed")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &show{rooms: *rooms, workers: *workers, lease: *lease, steady: *steady, out: os.Stdout, live: isTerminal(os.Stdout)}
	err := s.run(ctx)
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		stop()
		os.Exit(1)
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
