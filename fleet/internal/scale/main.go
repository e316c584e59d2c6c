//go:build linux

// Command scale holds many rooms by a few workers on one machine, and prints what that costs. NATS, the
// backend and each worker are processes of their own, so that their memory and processor time are
// measured separately. Its output is in docs/fleet-scale.md. It needs Linux's /proc.
//
//	go run -C fleet ./internal/scale -rooms 10000 -workers 4
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	rooms, workers  int
	busy            int
	settle, measure time.Duration
	talk            time.Duration
	send            float64
}

func main() {
	if role(os.Getenv(roleVariable)) {
		return
	}
	var s settings
	flag.IntVar(&s.rooms, "rooms", 10000, "how many rooms")
	flag.IntVar(&s.workers, "workers", 4, "how many worker processes")
	flag.IntVar(&s.busy, "busy", 0, "how many processes take all the processor time that they get, beside the fleet")
	flag.DurationVar(&s.settle, "settle", 20*time.Second, "how long to wait before measuring")
	flag.DurationVar(&s.measure, "measure", time.Minute, "how long to measure")
	flag.DurationVar(&s.talk, "talk", 30*time.Second, "how often something is said in each room")
	flag.Float64Var(&s.send, "send", 20, "how many messages a second are sent to rooms, all together")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}
