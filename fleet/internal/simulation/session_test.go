package simulation_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/fleet/internal/natssim"
)

// unseen starts a worker that holds all rooms, and another one. No watch shows either of them the other's
// lease, so that the second one wants all rooms, and reads the lease of the first one again and again.
func (w *world) unseen() (a, b *process) {
	w.Helper()
	a = w.open("a", 0).work()
	w.held(10 * time.Second)
	time.Sleep(lease) // all keys of the lease are written
	for bucket := range servers {
		w.cluster.Hide("a", leaseSubject(bucket, "*"))
		w.cluster.Hide("b", leaseSubject(bucket, a.worker.Stats().Session))
	}
	return a, w.open("b", 1).work()
}

func leaseBucket(bucket int) string { return fmt.Sprint("wechatws-leases-", bucket+1) }

func leaseSubject(bucket int, session string) string {
	return "$KV." + leaseBucket(bucket) + "." + session
}

// forget makes NATS lose a key of the lease of a worker.
func (w *world) forget(bucket int, p *process) {
	w.cluster.Forget("KV_"+leaseBucket(bucket), leaseSubject(bucket, p.worker.Stats().Session))
}

// undisturbed reports an error unless a worker has held all rooms without an interruption.
func (w *world) undisturbed(a, b *process) {
	w.Helper()
	assert.EqualValues(w, len(w.account.names), a.worker.Stats().Taken)
	assert.Zero(w, b.worker.Stats().Taken)
	w.held(2 * time.Second)
}

// A session of which one key is gone has not ended.
func TestASessionThatHasLostItsFirstKey(t *testing.T) {
	virtual(t, 17, servers, 6, func(w *world) {
		a, b := w.unseen()
		time.Sleep(lease)
		w.forget(0, a)
		time.Sleep(2 * lease)
		w.undisturbed(a, b)
	})
}

// A session has not ended if each of its keys was gone when it was read, once: the first key is written again
// after it was read, and the others are lost before they are read.
func TestASessionThatPassesFromKeyToKey(t *testing.T) {
	virtual(t, 18, servers, 6, func(w *world) {
		a, b := w.unseen()
		var missed, passed atomic.Bool
		first, second := leaseSubject(0, a.worker.Stats().Session), leaseSubject(1, a.worker.Stats().Session)
		w.cluster.OnStore(func(s natssim.Stored) {
			w.account.stored(s)
			if s.Subject == first && missed.CompareAndSwap(true, false) {
				time.AfterFunc(0, func() {
					for bucket := 1; bucket < servers; bucket++ {
						w.forget(bucket, a)
					}
					passed.Store(true)
				})
			}
		})
		w.cluster.OnRead(func(process, subject string) time.Duration {
			if process != "b" || subject != second || passed.Load() {
				return 0
			}
			missed.Store(true)
			return 10 * time.Millisecond
		})
		time.Sleep(lease)
		w.forget(0, a)
		w.within(lease, "the other keys are lost", func() (list []string) {
			if !passed.Load() {
				list = append(list, "not yet")
			}
			return list
		})
		time.Sleep(2 * lease)
		w.undisturbed(a, b)
	})
}
