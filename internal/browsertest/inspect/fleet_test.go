package inspect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/inspect"
	"github.com/wechatws/wechatws/wstest"
)

// evil is what a name and an error must stay: text.
const evil = `<img src=x onerror=alert(1)><b>"bold"</b>`

// A fleet is a thousand clients of some servers, most of them well.
type fleet struct {
	page    *inspect.Page
	clients map[string]*wechatws.Client // by name
	servers map[string]*wstest.Server
	opened  sync.Map     // clients of "closing" that were opened, by query
	watched atomic.Int64 // streams that are open
	started time.Time
	done    chan struct{}
	busy    sync.WaitGroup
}

// A region is a server, its distance, and how many clients it has.
type region struct {
	name    string
	latency time.Duration
	clients int
}

var regions = []region{
	{"hangzhou", 4 * time.Millisecond, 461},
	{"singapore", 38 * time.Millisecond, 240},
	{"frankfurt", 92 * time.Millisecond, 90},
	{"restarting", 17 * time.Millisecond, 120}, // goes away for half a minute now and then
	{"outage", time.Millisecond, 70},           // refuses connections
	{"unstable", 61 * time.Millisecond, 8},     // drops them again and again
	{"closing", time.Millisecond, 4},           // closes them, once
	{"forbidden", time.Millisecond, 2},
	{"offline", time.Millisecond, 3}, // has no network
	{"idle", time.Millisecond, 2},    // is not connected at all
}

func startFleet(t *testing.T) *fleet {
	f := &fleet{
		page: inspect.New(inspect.WithReconnect()), started: time.Now(), done: make(chan struct{}),
		clients: map[string]*wechatws.Client{}, servers: map[string]*wstest.Server{},
	}
	t.Cleanup(f.end)
	var homes []region // of each client
	for _, region := range regions {
		network := wstest.NewNetwork()
		network.SetLatency(region.latency)
		server := wstest.NewServer(wstest.WithNetwork(network), wstest.WithoutRecords(), wstest.WithAddr(region.name+".example.com:80"))
		f.servers[region.name] = server
		switch region.name {
		case "outage":
			server.Stop(wstest.RST)
		case "forbidden":
			server.AnswerAlways(wstest.Status(http.StatusForbidden, nil, "the token has expired"))
		case "restarting":
			f.busy.Go(func() { f.restart(server) })
		}
		server.OnConn(f.serve(region.name))
		for range region.clients {
			homes = append(homes, region)
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(homes), func(i, j int) { homes[i], homes[j] = homes[j], homes[i] })
	for i, home := range homes {
		f.start(t, i, home)
	}
	return f
}

func (f *fleet) start(t *testing.T, number int, home region) {
	name := fmt.Sprintf("shop-%04d %s", number+1, home.name)
	if home.name == "closing" {
		name += " " + evil
	}
	server := f.servers[home.name]
	options := []wechatws.Option{wechatws.WithProxy(nil), wechatws.WithNetDial(server.DialContext), wechatws.WithJitter(0.2)}
	switch home.name {
	case "outage":
		options = append(options, wechatws.WithTiers(wechatws.Tier{Delay: 12 * time.Second}))
	case "offline":
		options = append(options, wechatws.WithNetworkMonitor(noNetwork{}))
	case "closing":
		options = append(options, wechatws.WithNetDial(f.failsAfterOpen(number, server.DialContext)))
	}
	client, err := wechatws.New(server.URL()+"/?"+query(number), options...)
	if err != nil {
		t.Fatal(err)
	}
	client.OnUnknown(func(context.Context, wechatws.Message) {})
	f.clients[name] = client
	f.page.Add(name, client)
	if home.name == "idle" {
		return
	}
	f.busy.Go(func() { _ = client.Run(t.Context()) })
	if number%5 == 0 {
		f.busy.Go(func() {
			pause := time.NewTicker(5*time.Second + rand.N(20*time.Second))
			defer pause.Stop()
			for {
				select {
				case <-pause.C:
					_ = client.Send(t.Context(), wechatws.Text(`{"msg_type":"message","content":"Is the tea still on the shelf?"}`))
				case <-f.done:
					return
				}
			}
		})
	}
}

// failsAfterOpen has the first dial after each open connection fail, with a text that a page
// must not take for HTML. However slowly a client was opened, that is its last error.
func (f *fleet) failsAfterOpen(number int, dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if _, opened := f.opened.LoadAndDelete(query(number)); opened {
			return nil, errors.New(evil)
		}
		return dial(ctx, network, addr)
	}
}

// query is what the requests of a client are known by.
func query(number int) string { return fmt.Sprintf("client=%d", number) }

// restart has a server go away for half a minute, again and again.
func (f *fleet) restart(server *wstest.Server) {
	for {
		select {
		case <-time.After(70*time.Second + rand.N(40*time.Second)):
			server.Stop(wstest.RST)
		case <-f.done:
			return
		}
		select {
		case <-time.After(25 * time.Second):
		case <-f.done:
		}
		server.Start()
	}
}

// serve is what a server does with a connection: it answers heartbeats late or early,
// and has something to say now and then.
func (f *fleet) serve(region string) func(*wstest.Conn) {
	var closed sync.Map // the clients that were, by query
	return func(c *wstest.Conn) {
		pace := time.Duration(rand.ExpFloat64()*float64(2*time.Second)) + 150*time.Millisecond
		if region == "closing" {
			f.opened.Store(c.Request().URL.RawQuery, true)
			if _, again := closed.LoadOrStore(c.Request().URL.RawQuery, true); !again {
				wait(f.done, c, time.Second)
				_ = c.Close(4001, "")
				return
			}
		}
		if region == "unstable" {
			f.busy.Go(func() {
				wait(f.done, c, 8*time.Second+rand.N(40*time.Second))
				c.Cut(wstest.RST)
			})
		}
		for wait(f.done, c, pace/2+rand.N(pace)) {
			_ = c.Send(`{"msg_type":"price","goods":"tea","price":"9.90"}`)
		}
	}
}

func wait(done <-chan struct{}, c *wstest.Conn, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.Done():
	case <-done:
	}
	return false
}

func (f *fleet) end() {
	close(f.done)
	var closing sync.WaitGroup
	for _, c := range f.clients {
		closing.Go(func() { _ = c.Close(wechatws.StatusNormalClosure, "") })
	}
	closing.Wait()
	f.busy.Wait()
	for _, s := range f.servers {
		s.Close()
	}
}

// ServeHTTP serves the page and counts who watches.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("events") {
		f.watched.Add(1)
		defer f.watched.Add(-1)
	}
	f.page.ServeHTTP(w, r)
}

// count is how many clients are in each state, and all of them.
func (f *fleet) count() map[string]int {
	n := map[string]int{"all": len(f.clients)}
	for _, c := range f.clients {
		n[c.State().String()]++
	}
	return n
}

type noNetwork struct{}

func (noNetwork) Status() wechatws.NetworkStatus {
	return wechatws.NetworkStatus{Type: "none"}
}
func (noNetwork) Watch(func(wechatws.NetworkStatus)) (stop func()) { return func() {} }
