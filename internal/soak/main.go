// Soak runs many clients against a server that misbehaves at random, and checks continuously
// that the library keeps its promises:
//
//	go run ./internal/soak -clients 200 -for 20m -seed 1
//
// It prints a line every ten seconds and a summary at the end. If a promise is broken, it
// prints which one and exits with code 1.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	t := trial{out: os.Stdout}
	flag.IntVar(&t.clients, "clients", 200, "how many `clients`")
	flag.DurationVar(&t.length, "for", time.Minute, "how `long` to make faults")
	flag.Uint64Var(&t.seed, "seed", 1, "`seed` of the choice of faults")
	flag.DurationVar(&t.report, "report", 10*time.Second, "`time` between two lines")
	flag.Float64Var(&t.faultsPerSecond, "faults-per-second", 8.5, "`rate` of faults over all clients")
	flag.Parse()
	if flag.NArg() > 0 || t.clients < 1 || t.length <= 0 || t.report <= 0 || t.faultsPerSecond <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := t.run(); err != nil {
		fmt.Fprintf(os.Stderr, "soak: broken (seed %d): %v\n", t.seed, err)
		os.Exit(1)
	}
}
