//go:build unix

// Command cost measures the cost of the page of package inspect for its program, as a share of
// the cost of the clients that it shows.
//
//	go run -C internal/browsertest ./cost
//
// A thousand clients of the bench's server, over TCP, send a heartbeat every three
// seconds and two messages a second each, which are echoed. The server and the viewer are
// other processes; measured is the user and system time of this one. Periods with and without
// a viewer alternate, so that other load of the machine affects both alike. Nothing is
// asserted; the result is printed.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/inspect"
)

var (
	clients = flag.Int("clients", 1000, "how many `clients`")
	every   = flag.Duration("every", 500*time.Millisecond, "the `time` between two messages of a client")
	window  = flag.Duration("window", 6*time.Second, "how long each `time` with and without a viewer is")
	pairs   = flag.Int("pairs", 40, "how many `pairs` of these times")
	viewers = flag.Int("viewers", 1, "how many `viewers`")
	bench   = flag.String("bench", "../../bench", "the `directory` of the bench, whose server it is")
)

// watchVar is an environment variable with the address of a page: with it the program is a viewer.
const watchVar = "WECHATWS_COST_WATCH"

func main() {
	flag.Parse()
	run := measure
	if address := os.Getenv(watchVar); address != "" {
		run = func(ctx context.Context) error { return watch(ctx, address) }
	}
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := raiseFileLimit(); err != nil {
		return err
	}
	port, end, err := startServer()
	if err != nil {
		return fmt.Errorf("the bench's server: %w", err)
	}
	defer end()

	page := inspect.New()
	fleet, err := connect(ctx, port, page)
	defer fleet.close()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	site := &http.Server{Handler: page, ReadHeaderTimeout: time.Minute}
	defer site.Close()
	go func() { _ = site.Serve(listener) }()

	fmt.Printf("%d clients, a message every %v, a heartbeat every 3 s; %d viewers; %d pairs of %v\n\n", *clients, *every, *viewers, *pairs, *window)
	fmt.Println("CPU, of one processor   without    with   the page")
	time.Sleep(*window) // until the load is steady
	var withouts, differences []float64
	for pair := range *pairs {
		var with, without float64
		// Either goes first as often as the other.
		for _, looked := range []bool{pair%2 == 0, pair%2 != 0} {
			if looked {
				with, err = whileWatched(listener.Addr().String())
			} else {
				without = cpuDuring()
			}
			if err != nil {
				return err
			}
		}
		withouts, differences = append(withouts, without), append(differences, with-without)
		fmt.Printf("%21d   %6.2f%%  %5.2f%%  %8.2f%%\n", pair+1, 100*without, 100*with, 100*(with-without))
	}
	clientsUse, _ := average(withouts)
	mean, spread := average(differences)
	fmt.Printf("\nThe clients: %.1f%% of a processor. The page with a viewer: %.2f%% ± %.2f%% (standard error), which is %.1f%% ± %.1f%% of the clients'.\n",
		100*clientsUse, 100*mean, 100*spread, 100*mean/clientsUse, 100*spread/clientsUse)
	for _, c := range fleet.clients {
		if s := c.Stats(); s.Opens != 1 || s.Disconnects.Total() != 0 {
			return errors.New("a client lost its connection: the figures are worth nothing")
		}
	}
	return nil
}

// average is the mean, and its standard error: single pairs differ by more than the
// page costs.
func average(list []float64) (mean, spread float64) {
	n := float64(len(list))
	for _, v := range list {
		mean += v / n
	}
	for _, v := range list {
		spread += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(spread / (n - 1) / n)
}

// A fleet is the clients.
type fleet struct {
	clients []*wechatws.Client
	done    chan struct{}
	busy    sync.WaitGroup
}

func connect(ctx context.Context, port string, page *inspect.Page) (*fleet, error) {
	f := &fleet{done: make(chan struct{})}
	for i := range *clients {
		c, err := wechatws.New(fmt.Sprintf("ws://127.0.0.%d:%s/echo", i%8+1, port), wechatws.WithProxy(nil))
		if err != nil {
			return f, err
		}
		c.OnUnknown(func(context.Context, wechatws.Message) {})
		if err := c.Connect(ctx); err != nil {
			return f, err
		}
		f.clients = append(f.clients, c)
		page.Add(fmt.Sprintf("shop %d", i+1), c)
	}
	for _, c := range f.clients {
		f.busy.Go(func() {
			select {
			case <-time.After(rand.N(*every)): // not all at the same time
			case <-f.done:
				return
			}
			pace := time.NewTicker(*every)
			defer pace.Stop()
			for {
				select {
				case <-pace.C:
					_ = c.Send(ctx, wechatws.Text(`{"msg_type":"message","content":"Is the tea still on the shelf?"}`)) // a client that is down is noticed at the end
				case <-f.done:
					return
				}
			}
		})
	}
	return f, nil
}

func (f *fleet) close() {
	close(f.done)
	f.busy.Wait()
	for _, c := range f.clients {
		_ = c.Close(wechatws.StatusNormalClosure, "")
	}
}

// cpuDuring returns the share of one processor that this program uses during the window.
func cpuDuring() float64 {
	used, began := cpu(), time.Now()
	time.Sleep(*window)
	return (cpu() - used).Seconds() / time.Since(began).Seconds()
}

func whileWatched(address string) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var ends []func()
	defer func() {
		for _, end := range ends {
			end()
		}
	}()
	for range *viewers {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), watchVar+"=http://"+address+"/?events")
		_, end, err := start(cmd) // its first line says that it is connected
		if err != nil {
			return 0, err
		}
		ends = append(ends, end)
	}
	return cpuDuring(), nil
}

// watch reads a stream of events until the standard input ends. It prints a line when the
// stream has begun.
func watch(ctx context.Context, address string) error {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewReader(res.Body)
	for range 4 { // the event with everything, and the blank line after it
		if _, err := lines.ReadString('\n'); err != nil {
			return err
		}
	}
	fmt.Println("watching")
	if _, err = io.Copy(io.Discard, lines); ctx.Err() != nil {
		return nil
	}
	return errors.Join(errors.New("the stream has ended"), err)
}

// startServer builds the bench, starts it as the server, and returns its port.
func startServer() (port string, end func(), err error) {
	dir, err := os.MkdirTemp("", "wechatws-cost")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bench")
	if out, err := exec.Command("go", "build", "-C", *bench, "-o", program, ".").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("building it: %w\n%s", err, out)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "WECHATWS_BENCH_ROLE=server", "WECHATWS_BENCH_TASK=0")
	return start(cmd)
}

// start starts a program and returns the first line that it writes. end closes its input, which
// ends it, and waits for it.
func start(cmd *exec.Cmd) (line string, end func(), err error) {
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() { _ = input.Close(); _ = cmd.Wait() } // its exit code does not matter
	line, err = bufio.NewReader(output).ReadString('\n')
	if err != nil {
		end()
		return "", nil, err
	}
	return strings.TrimSpace(line), end, nil
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no way to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
