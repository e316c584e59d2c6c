package serial

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

var errRead = errors.New("nothing is left to read")

// A feed is a Reader of functions that a test sends, and what has become of its goroutines.
type feed struct {
	*testing.T
	source
	reader  Reader
	jobs    chan func()
	reading atomic.Int32 // goroutines that read now
	began   atomic.Int32 // goroutines that have begun to read
	ended   chan error
}

func newFeed(t *testing.T) *feed {
	f := &feed{T: t, jobs: make(chan func(), 1000), ended: make(chan error, 1000)}
	f.readAll, f.readOn = f.takeJobs, f.read
	f.reader.Queue, f.reader.Source = newQueue(), f
	go f.read()
	return f
}

func (f *feed) read() {
	f.began.Add(1)
	f.ended <- f.reader.Read()
}

func (f *feed) takeJobs() error {
	for {
		assert.EqualValues(f, 1, f.reading.Add(1), "one goroutine reads")
		job, ok := <-f.jobs
		f.reading.Add(-1)
		if !ok {
			return errRead
		}
		if !f.reader.Put(do(func() { defer f.reader.Queue.Done(1, 1); job() }), time.Now(), 1, 1) {
			return nil
		}
	}
}

// close ends the reading, and checks that the last reader, and it alone, returns its error.
func (f *feed) close() {
	f.Helper()
	close(f.jobs)
	synctest.Wait()
	close(f.ended)
	last := 0
	for err := range f.ended {
		if err == errRead {
			last++
		} else {
			assert.Equal(f, ErrHandedOff, err)
		}
	}
	assert.Equal(f, 1, last)
}

// busy makes the reader busy.
func (f *feed) busy() {
	f.jobs <- func() {}
	synctest.Wait()
	f.jobs <- func() {}
	synctest.Wait()
}

// goroutine returns the number of the calling goroutine.
func goroutine() string {
	stack := make([]byte, 40)
	return strings.Fields(string(stack[:runtime.Stack(stack, false)]))[1]
}

// runsOn returns the goroutine on which the next item runs.
func (f *feed) runsOn() (id string) {
	f.jobs <- func() { id = goroutine() }
	synctest.Wait()
	return id
}

// Only a busy reader runs items.
func TestABusyReaderRunsTheItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t)
		time.Sleep(time.Second)
		first := f.runsOn()
		second := f.runsOn()
		assert.NotEqual(t, first, second)
		assert.Equal(t, second, f.runsOn())
		time.Sleep(busyFor - 1)
		assert.Equal(t, second, f.runsOn())
		time.Sleep(busyFor)
		assert.NotEqual(t, second, f.runsOn())
		assert.Equal(t, second, f.runsOn(), "it has remained the reader")
		assert.EqualValues(t, 1, f.began.Load())
		time.Sleep(time.Second) // the timer
		f.close()
	})
}

// While items take too long, another goroutine reads.
func TestALongItemHandsTheReadingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t)
		f.busy()
		time.Sleep(2 * handOffAfter) // the timer fires in vain
		f.busy()
		time.Sleep(handOffAfter / 2) // the timer was set before
		release := make(chan struct{})
		f.jobs <- func() { <-release }
		time.Sleep(handOffAfter - 1)
		synctest.Wait()
		assert.EqualValues(t, 0, f.reading.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.EqualValues(t, 1, f.reading.Load())
		assert.EqualValues(t, 2, f.began.Load())
		ran := false
		f.jobs <- func() { ran = true }
		synctest.Wait()
		assert.False(t, ran, "items run one at a time")
		close(release)
		synctest.Wait()
		assert.True(t, ran)
		assert.Equal(t, ErrHandedOff, <-f.ended)
		f.close()
	})
}

// Short items one after another do not hand it off, as long as it reads in between.
func TestShortItemsDoNotHandTheReadingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t)
		for range 1000 {
			f.jobs <- func() { time.Sleep(handOffAfter / 2) }
			time.Sleep(handOffAfter/2 + 1)
			synctest.Wait()
		}
		assert.EqualValues(t, 1, f.began.Load())
		f.close()
	})
}

func TestHandOffAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t)
		f.reader.HandOff()
		synctest.Wait()
		assert.EqualValues(t, 1, f.began.Load(), "it reads")
		f.busy()
		f.reader.HandOff()
		synctest.Wait()
		assert.EqualValues(t, 1, f.began.Load(), "it reads again")
		answer := make(chan struct{})
		start := time.Now()
		f.jobs <- func() {
			f.reader.HandOff()
			f.reader.HandOff() // once
			<-answer
		}
		synctest.Wait()
		assert.EqualValues(t, 2, f.began.Load())
		assert.EqualValues(t, 1, f.reading.Load())
		assert.Zero(t, time.Since(start))
		close(answer)
		f.close()
	})
}

// A reader that has handed off must not read again, also when the next reader runs items
// before the first one has returned: there would be two readers.
func TestAfterAHandOffTheOldReaderReadsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t)
		q := f.reader.Queue
		f.busy()
		idle := make(chan struct{})
		blocked := false
		q.idle = func() { // on the old reader, which is about to look whether it still is the reader
			if !blocked {
				blocked = true
				<-idle
			}
		}
		f.jobs <- f.reader.HandOff
		synctest.Wait()
		assert.EqualValues(t, 2, f.began.Load())
		second := make(chan struct{})
		f.jobs <- func() { <-second } // runs on the second reader
		synctest.Wait()
		assert.Zero(t, f.reading.Load())
		close(idle)
		synctest.Wait()
		assert.Equal(t, ErrHandedOff, <-f.ended)
		assert.Zero(t, f.reading.Load())
		close(second)
		synctest.Wait()
		assert.EqualValues(t, 1, f.reading.Load())
		assert.EqualValues(t, 2, f.began.Load())
		f.close()
	})
}

// runtime.Goexit in an item on the reader goroutine, or in the reading itself, ends neither
// the reading nor the items.
func TestGoexitOnTheReader(t *testing.T) {
	for name, exit := range map[string]func(f *feed){
		"in an item": func(f *feed) { f.jobs <- runtime.Goexit },
		"in an item after a hand-off": func(f *feed) {
			f.jobs <- func() { f.reader.HandOff(); runtime.Goexit() }
		},
		"in an item after a long time": func(f *feed) {
			f.jobs <- func() { time.Sleep(time.Second); runtime.Goexit() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(t)
				f.busy()
				exit(f)
				ran := false
				f.jobs <- func() { ran = true }
				time.Sleep(2 * time.Second)
				synctest.Wait()
				assert.True(t, ran)
				assert.EqualValues(t, 2, f.began.Load())
				f.close()
			})
		})
	}
	t.Run("in the reading", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &source{}
			r := Reader{Queue: newQueue(), Source: s}
			var readOn atomic.Int32
			s.readOn = func() { readOn.Add(1) }
			s.readAll = func() error { runtime.Goexit(); return nil }
			go func() { _ = r.Read() }()
			synctest.Wait()
			assert.EqualValues(t, 1, readOn.Load())
		})
	})
}

// All items run once and in order, across many hand-offs, stalls and calls of runtime.Goexit,
// and one goroutine reads at a time.
func TestOrderAcrossHandOffs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t)
		const items = 3000
		next := 0
		for n := range items {
			f.jobs <- func() {
				assert.Equal(t, n, next)
				next++
				switch rand.IntN(30) {
				case 0:
					time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
				case 1:
					f.reader.HandOff()
				case 2:
					runtime.Goexit()
				}
			}
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, items, next)
		assert.Greater(t, f.began.Load(), int32(100))
		f.close()
	})
}
