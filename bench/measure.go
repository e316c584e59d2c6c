package main

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A metric is one figure of a run; its text is the heading of its column.
type metric string

const (
	cpuPer      metric = "CPU ns/msg"
	wallPer     metric = "wall ns/msg"
	allocsPer   metric = "allocs/msg"
	bytesPer    metric = "B/msg"
	readsPer    metric = "reads/msg"
	writesPer   metric = "writes/msg"
	perSecond   metric = "msgs/s"
	p50         metric = "p50 µs"
	p99         metric = "p99 µs"
	kibPer      metric = "KiB/client"
	goroutines  metric = "goroutines/client"
	cpuShare    metric = "% of a core"
	cpuThousand metric = "% of a core for 1,000"
	window100   metric = "most in 100 ms"
	windowPart  metric = "% of the clients"
	allBack     metric = "all back s"
)

// A result has the figures of one run of one contender.
type result map[metric]float64

// usage is the resources that the process has used so far.
type usage struct {
	at             time.Time
	cpu            time.Duration // user and system, of all threads
	mallocs, bytes uint64
	reads, writes  int64 // system calls
}

// measure runs work, which handles n messages, after a garbage collection.
func measure(n int, work func() error) (result, error) {
	runtime.GC()
	before, err := used()
	if err != nil {
		return nil, err
	}
	if err := work(); err != nil {
		return nil, err
	}
	after, err := used()
	if err != nil {
		return nil, err
	}
	wall, each := after.at.Sub(before.at), float64(n)
	return result{
		cpuPer:    float64((after.cpu - before.cpu).Nanoseconds()) / each,
		wallPer:   float64(wall.Nanoseconds()) / each,
		allocsPer: float64(after.mallocs-before.mallocs) / each,
		bytesPer:  float64(after.bytes-before.bytes) / each,
		readsPer:  float64(after.reads-before.reads) / each,
		writesPer: float64(after.writes-before.writes) / each,
		perSecond: each / wall.Seconds(),
	}, nil
}

func used() (usage, error) {
	u := usage{cpu: cpuTime()}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	u.mallocs, u.bytes = mem.Mallocs, mem.TotalAlloc
	var err error
	u.reads, u.writes, err = systemCalls()
	u.at = time.Now()
	return u, err
}

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // it cannot fail with these arguments
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// systemCalls counts the calls of read, write and their likes in this process.
func systemCalls() (reads, writes int64, err error) {
	f, err := os.Open("/proc/self/io")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "syscr":
			reads = n
		case "syscw":
			writes = n
		}
	}
	return reads, writes, nil
}
