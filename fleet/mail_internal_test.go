package fleet

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/natssim"
	"github.com/wechatws/wechatws/wstest"
)

// A mailWorld is a fleet of one shard in virtual time, and a server that rooms connect to.
type mailWorld struct {
	*testing.T
	cluster *natssim.Cluster
	network *wstest.Network
	srv     *wstest.Server
	f       *Fleet
	running []func() // their ends
	sent    time.Time
	arrived chan time.Duration // since it was sent
}

func inMailWorld(t *testing.T, test func(w *mailWorld)) {
	natssim.Bubble(t, func(t *testing.T) {
		w := &mailWorld{T: t, cluster: natssim.New(1, 1), network: wstest.NewNetwork(), arrived: make(chan time.Duration, 1)}
		defer w.cluster.Close()
		w.network.SetLatency(20 * time.Millisecond)
		w.srv = wstest.NewServer(wstest.WithNetwork(w.network))
		defer w.srv.Close()
		w.srv.OnMessage(func(*wstest.Conn, wstest.Message) { w.arrived <- time.Since(w.sent) })
		w.f = w.open("sender")
		defer w.f.Close()
		w.add("other") // a worker that holds the shard holds it already when another room is added
		defer func() {
			for _, end := range w.running {
				end()
			}
		}()
		test(w)
	})
}

func (w *mailWorld) open(process string) *Fleet {
	f, err := Open(w.Context(), WithNATS(w.cluster.URLs(0), nats.SetCustomDialer(w.cluster.Dialer(process))), WithShards(1))
	require.NoError(w, err)
	return f
}

func (w *mailWorld) add(room string) {
	require.NoError(w, w.f.Control().Add(w.Context(), Spec{ID: room, Endpoint: w.srv.URL()}))
}

// work starts a worker, in a process of its own, which has taken the shard when work returns.
func (w *mailWorld) work() {
	name := fmt.Sprint("worker ", len(w.running)+1)
	f := w.open(name)
	worker, err := f.NewWorker(func(_ context.Context, r *Room) (*wechatws.Client, error) {
		return r.NewClient(r.Endpoint, wechatws.WithNetDial(w.network.DialContext), wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness())
	}, WithWorkerName(name))
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(w.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(w, worker.Run(ctx)) })
	w.running = append(w.running, func() {
		cancel()
		running.Wait()
		f.Close()
	})
	time.Sleep(3 * time.Second)
}

func (w *mailWorld) send() {
	w.sent = time.Now()
	assert.NoError(w, w.f.Send(w.Context(), "r", "hello"))
}

// A room's messages do not wait for a sweep, also those that are stored while no mailbox of the room looks.
func TestMessagesDoNotWaitForASweep(t *testing.T) {
	for _, tt := range []struct {
		name   string
		send   func(w *mailWorld)
		within time.Duration
	}{
		{"before there is a worker", func(w *mailWorld) {
			w.add("r")
			w.send()
			w.work()
		}, 2 * time.Second},
		{"when the room was just added", func(w *mailWorld) {
			w.work()
			w.add("r")
			w.send()
		}, time.Second},
		{"while the client is replaced", func(w *mailWorld) {
			w.add("r")
			w.work()
			require.NoError(w, w.f.Control().Update(w.Context(), Spec{ID: "r", Endpoint: w.srv.URL() + "?changed"}))
			w.send()
		}, time.Second},
		{"while the client has failed", func(w *mailWorld) {
			w.add("r")
			w.srv.AnswerAlways(wstest.Status(403, nil, ""))
			w.work()
			w.srv.AnswerAlways(wstest.Accept())
			w.send()
		}, again},
		{"while the shard is taken over", func(w *mailWorld) {
			w.add("r")
			w.work()
			w.cluster.Kill("worker 1")
			var once sync.Once
			w.cluster.OnRead(func(_, subject string) (wait time.Duration) {
				if subject == w.f.markerSubject(0) { // the worker has read the rooms, and holds none yet
					once.Do(func() { wait = time.Second; go w.send() })
				}
				return wait
			})
			w.work()
		}, 1500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMailWorld(t, func(w *mailWorld) {
				tt.send(w)
				select {
				case took := <-w.arrived:
					assert.Less(t, took, tt.within)
				case <-time.After(time.Minute):
					assert.Fail(t, "the message was not delivered")
				}
			})
		})
	}
}
