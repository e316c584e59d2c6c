package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// A census is the resources that the process uses.
type census struct {
	goroutines int
	heap       uint64 // bytes in use
	files      int    // open; zero where the system does not report it
}

func takeCensus() census {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	entries, _ := os.ReadDir("/proc/self/fd") // Linux
	return census{runtime.NumGoroutine(), m.HeapAlloc, len(entries)}
}

// bounds returns what the clients and their server may use together: about twice what they
// do use.
func bounds(clients int) census {
	return census{
		goroutines: 100 + 12*clients,
		heap:       uint64(32+clients/4) << 20,
		files:      32 + 4*clients,
	}
}

func (c census) within(b census) error {
	switch {
	case c.goroutines > b.goroutines:
		return fmt.Errorf("%d goroutines, more than %d", c.goroutines, b.goroutines)
	case c.heap > b.heap:
		return fmt.Errorf("%d MiB of heap, more than %d", c.heap>>20, b.heap>>20)
	case c.files > b.files:
		return fmt.Errorf("%d open files, more than %d", c.files, b.files)
	}
	return nil
}

// backTo waits until there are no more goroutines and open files than at the start, since
// they end a moment after they have been closed.
func backTo(start census, within time.Duration) error {
	for end := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		now := takeCensus()
		if now.goroutines <= start.goroutines && now.files <= start.files {
			return nil
		}
		if time.Now().After(end) {
			stacks := make([]byte, 64<<10)
			return fmt.Errorf("%d goroutines and %d open files are left, at the start there were %d and %d\n%s",
				now.goroutines, now.files, start.goroutines, start.files, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
