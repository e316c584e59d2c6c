// Fleet runs a thousand rooms on three worker processes, of which one is killed, one is drained, and a
// new one joins, while visitors send messages in the rooms, a handler counts these, and the fleet sends
// messages to the rooms.
//
//	go run -C fleet ./examples/fleet
//
// NATS runs inside this process. The backend is a process of its own. It receives every message, and
// reports whether a room was ever held twice. The program ends after about -for, with figures, and with
// an error if a guarantee of the fleet did not hold.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if role(os.Getenv(roleVariable)) {
		return
	}
	s := &show{out: os.Stdout, live: isTerminal(os.Stdout)}
	flag.IntVar(&s.rooms, "rooms", 1000, "how many rooms")
	flag.IntVar(&s.workers, "workers", 3, "how many worker processes at the beginning")
	flag.DurationVar(&s.duration, "for", 50*time.Second, "how long it takes; longer when something has to be waited for")
	flag.Uint64Var(&s.seed, "seed", rand.Uint64N(1e6), "seed of the random choices")
	flag.DurationVar(&s.lease, "lease", 0, "the workers' lease (default the fleet's)")
	flag.Parse()
	if s.rooms < 1 || s.workers < 3 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "fleet: -rooms must be 1 or more, and -workers 3 or more: one of them is killed, and one is drained")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.run(ctx)
	stop()
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
