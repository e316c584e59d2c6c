// Command mutants breaks the code in one place after the other, and runs the tests each time. A
// mutant that no test notices shows a statement that could be lost.
//
//	go run ./internal/mutants                      all of them
//	go run ./internal/mutants -file conn.txt       those of one list
//	go run ./internal/mutants -run 'pong|ping'     those with such a title
//	go run ./internal/mutants -simulate 2000       judged by the simulation
//
// The lists beside this file say what is changed; function parse describes their format. faults.txt
// has faults that were mended, put back; guards.txt the calls of users' functions, unguarded. Nothing
// in the working tree is changed: the go command reads other files instead of the real ones. They
// contain all mutants, and the environment variable MUTANT chooses one (type weave). A mutant that
// changes more than the bodies of functions is compiled alone.
//
// The exit status is 1 if a mutant has survived without an explanation, or cannot be judged.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("mutants", flag.ExitOnError)
	title := flags.String("run", "", "only mutants whose title matches this `regexp`")
	list := flags.String("file", "", "only mutants of this `list`, such as conn.txt")
	parallel := flags.Int("p", 2, "how many are judged at a time")
	race := flags.Bool("race", false, "use the race detector")
	seeds := flags.Int("simulate", 0, "judge by this many `seeds` of the simulation instead of the tests")
	_ = flags.Parse(args)
	matches, err := regexp.Compile(*title)
	if err != nil {
		return err
	}
	mutants, err := readLists()
	if err != nil {
		return err
	}
	mutants = slices.DeleteFunc(mutants, func(m mutant) bool {
		return !matches.MatchString(m.title) || *list != "" && m.list != *list
	})
	j, err := newJudge(ctx, *race, *seeds)
	if err != nil {
		return err
	}
	defer j.close()
	if err := j.weave(ctx, mutants); err != nil {
		return err
	}
	return judgeAll(ctx, j, mutants, *parallel)
}

// judgeAll judges mutants, and prints a line for each and the sum.
func judgeAll(ctx context.Context, j *judge, mutants []mutant, parallel int) error {
	var (
		group  sync.WaitGroup
		places = make(chan struct{}, max(parallel, 1))

		mu    sync.Mutex // guards the fields below
		count = map[outcome]int{}
	)
	began := time.Now()
	for _, m := range mutants {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			start := time.Now()
			what, by := j.judge(ctx, m)
			if ctx.Err() != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			count[what]++
			fmt.Printf("%-12s %s: %s: %s (%.0f s)\n", what, strings.TrimSuffix(m.list, ".txt"), m.title, by, time.Since(start).Seconds())
		})
	}
	group.Wait()
	fmt.Printf("\n%d mutants in %s: %d killed, %d explained, %d survived, %d invalid\n", len(mutants),
		time.Since(began).Round(time.Second), count[killed], count[explained], count[survived], count[invalid])
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case count[survived]+count[invalid] > 0:
		return fmt.Errorf("no test notices %d mutants, and %d cannot be judged", count[survived], count[invalid])
	}
	return nil
}
