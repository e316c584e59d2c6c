package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

var (
	seeds     = flag.String("seeds", "", "run these seeds, such as 1-200000, instead of the usual ones")
	processes = flag.Int("processes", runtime.NumCPU(), "run the seeds in so many processes")
	shrinks   = flag.Bool("shrink", true, "shrink the schedule that fails")
)

func TestMain(m *testing.M) {
	// With one processor, and everything else blocked, a goroutine runs until it blocks.
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}

// TestSeeds runs the schedules of many seeds, in processes of their own: a crash, a deadlock or an
// endless loop is a failure of a seed too. The first failing schedule is shrunk and printed.
func TestSeeds(t *testing.T) {
	first, last := uint64(1), uint64(usual)
	if testing.Short() {
		last = 200
	}
	if *seeds != "" {
		if n, _ := fmt.Sscanf(*seeds, "%d-%d", &first, &last); n == 1 {
			last = first
		}
	}
	began := time.Now()
	var mu sync.Mutex
	var ran int
	var found *outcome
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range uint64(*processes) {
		wg.Go(func() {
			o, n := runSeeds(first+i, last, uint64(*processes), stop)
			mu.Lock()
			defer mu.Unlock()
			ran += n
			if o != nil {
				if found == nil {
					close(stop)
				}
				if found == nil || o.Seed < found.Seed {
					found = o
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d schedules in %v", ran, time.Since(began).Round(10*time.Millisecond))
	if found == nil {
		return
	}
	if !*shrinks {
		t.Fatal(found)
	}
	sc, failure := shrink(newSchedule(found.Seed), found)
	if failure == "" {
		t.Errorf("%s\nIn ten further runs the schedule did not fail.", found)
		return
	}
	t.Errorf("%s\nThe shortest schedule that fails, here with\n%s\n\n%s", found, failure, program(sc))
}

// TestOneSeedIsOneRun runs schedules twice, and compares all that has happened in them. Within one
// instant the order may differ: it is that of the scheduler. Where two cases of a select statement
// are ready in one instant, Go chooses at random, so that a few schedules may have another outcome;
// with the race detector, which also shuffles the order of goroutines, more.
func TestOneSeedIsOneRun(t *testing.T) {
	const seeds = 50
	equal := 0
	for seed := uint64(1); seed <= seeds; seed++ {
		_, first := run(t, newSchedule(seed))
		_, second := run(t, newSchedule(seed))
		slices.Sort(first) // the lines begin with the time
		slices.Sort(second)
		if slices.Equal(first, second) {
			equal++
		} else {
			t.Logf("seed %d has given two runs", seed)
		}
	}
	assert.GreaterOrEqual(t, equal, equalSeeds)
}

// replay runs a schedule. A printed program calls it.
func replay(t *testing.T, sc *schedule) {
	t.Helper()
	if failure, journal := run(t, sc); failure != "" {
		t.Fatal(report(sc.Seed, failure, journal))
	}
}

// report is the text about a failure, with the end of the journal.
func report(seed uint64, failure string, journal []string) string {
	return fmt.Sprintf("seed %d: %s\n%s", seed, failure, strings.Join(journal[max(0, len(journal)-journalLines):], "\n"))
}

const journalLines = 50

// TestChild is not a test: in a process that TestSeeds starts, it runs schedules.
func TestChild(t *testing.T) {
	if task := os.Getenv(childTask); task != "" {
		runTask(t, task)
	}
}
