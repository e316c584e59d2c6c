// Bench runs this library and others on the same work, against one server in its own process,
// and prints the cost of each.
//
//	go run -C bench .                                    # everything
//	go run -C bench . -workloads W1 -rounds 3            # a part of it
//	go run -C bench . -workloads W1,W3 -only wechatws,raw,gorilla
//	go run -C bench . -quick                             # small counts, to check the results
//	go run -C bench . -out docs/images                   # charts, and the tables as Markdown
//	go run -C bench . -workloads W1 -cpuprofile w1.prof  # of wechatws only
//
// Every message is counted and checked in every workload. The exit code is 1 when
// one is missing, altered or out of order, and when wechatws allocates more for a message
// than limits.go allows. It is never 1 because something was slow.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// A bench is one run of this program.
type bench struct {
	settings
	server *serverProcess
}

func main() {
	log.SetFlags(0)
	if playRole() {
		return
	}
	var (
		s          settings
		workloads  = flag.String("workloads", "W1,W1t,W1r,W2,W3,W4,W5,W6", "which `workloads` to run; W1t is W1 with the types of package liveroom")
		only       = flag.String("only", "", "which `contenders` take part, such as wechatws,raw,gorilla, with their variants; =wechatws is that one without; default all")
		quick      = flag.Bool("quick", false, "a hundredth of the messages and clients, one round: for checking, not for measuring")
		memprofile = flag.String("memprofile", "", "write a profile of all allocations to `file`")
		cpuprofile = flag.String("cpuprofile", "", "write a CPU profile of wechatws to `file`; nothing else runs then, unless -only says so")
	)
	flag.IntVar(&s.rounds, "rounds", 5, "how often each contender runs; W4 to W6 half as often, and W2 four times")
	flag.Float64Var(&s.scale, "scale", 1, "multiplies the numbers of messages and clients")
	flag.DurationVar(&s.window, "window", 15*time.Second, "how long an idle fleet is watched")
	flag.StringVar(&s.out, "out", "", "the `directory` for charts and for the tables as Markdown; default none")
	flag.Parse()
	s.interval = usual
	s.workloads = strings.Split(*workloads, ",")
	if *only != "" {
		s.only = strings.Split(*only, ",")
	}
	if *quick {
		s.quicken()
	}
	if *cpuprofile != "" {
		if s.only == nil {
			s.only = []string{"=wechatws"}
		}
		s.profile = *cpuprofile
		f, err := os.Create(*cpuprofile)
		if err != nil {
			log.Fatal(err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			log.Fatal(err)
		}
	}
	err := run(s)
	pprof.StopCPUProfile()
	if *memprofile != "" {
		err = errors.Join(err, writeAllocations(*memprofile))
	}
	if err != nil {
		log.Fatal("bench: ", err)
	}
}

func writeAllocations(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}

// quicken makes all counts small.
func (s *settings) quicken() {
	s.scale, s.rounds = 0.01, 1
	s.window, s.interval = 400*time.Millisecond, 100*time.Millisecond
}

func run(s settings) error {
	if err := raiseFileLimit(); err != nil {
		return err
	}
	if s.out != "" {
		if err := os.MkdirAll(s.out, 0o755); err != nil {
			return err
		}
	}
	server, err := startServer("")
	if err != nil {
		return err
	}
	defer server.end()
	b := &bench{s, server}
	fmt.Println(machine())
	var document bytes.Buffer
	fmt.Fprintf(&document, "%s\n", machine())
	var over []string
	trials := b.trials()
	if err := s.check(trials); err != nil {
		return err
	}
	for _, t := range trials {
		t.entries = slices.DeleteFunc(t.entries, func(e entry) bool { return !s.chosen(e.name) })
		if !slices.Contains(s.workloads, t.workload) || len(t.entries) == 0 {
			continue
		}
		all, err := t.race(s.rounds)
		if err != nil {
			return err
		}
		out := t.table(all)
		out.print(os.Stdout)
		over = append(over, t.overLimits(all)...)
		if s.out == "" {
			continue
		}
		picture := t.fileName()
		if err := t.picture(all, filepath.Join(s.out, picture)); err != nil {
			return err
		}
		out.markdown(&document, picture)
	}
	if s.out != "" {
		if err := os.WriteFile(filepath.Join(s.out, "bench.md"), document.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if len(over) > 0 {
		return fmt.Errorf("more allocations than limits.go allows:\n%s", strings.Join(over, "\n"))
	}
	return nil
}

// check returns an error about names of workloads or contenders that do not exist.
func (s settings) check(trials []trial) error {
	for _, name := range s.workloads {
		if !slices.ContainsFunc(trials, func(t trial) bool { return t.workload == name }) {
			return fmt.Errorf("there is no workload %q", name)
		}
	}
	for _, name := range s.only {
		one := settings{only: []string{name}}
		takesPart := func(e entry) bool { return one.chosen(e.name) }
		if !slices.ContainsFunc(trials, func(t trial) bool { return slices.ContainsFunc(t.entries, takesPart) }) {
			return fmt.Errorf("there is no contender %q", name)
		}
	}
	return nil
}

// trials returns all trials, in the order of the workloads.
func (b *bench) trials() []trial {
	return slices.Concat(b.dispatch(), b.rawCallback(), b.roundTrip(), b.outbound(), b.idleFleet(), b.storm(), b.scaling())
}
