// Liveroom is a live room in a browser: a backend, an anchor bot that puts goods on the
// shelf and answers, visitors that comment, follow and buy, and a page that shows the room
// as the Mini Program would, with buttons to cut the bot's connection and to restart the
// backend.
//
//	go run ./examples/liveroom                         # prints the address of the page
//	go run ./examples/liveroom -headless -for 20s      # without the page
//	go run ./examples/liveroom -url wss://… -room 9527 -user 42 -name bot
//
// It ends with Ctrl-C, or after -for.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/wstest"
)

// settings are the flags.
type settings struct {
	url      string
	room     liveroom.Identity
	addr     string
	headless bool
	duration time.Duration
	network  *wstest.Network // of the backend of its own; nil: the machine's
}

// shownBytes is how much of the room each viewer of the page may get in one event.
const shownBytes = 256 << 10

// commentRate is how many comments the bot sends in a second, however many it is asked for.
const commentRate = 5

// shortest is the time that headless needs to cut, restart and recover from both.
const shortest = 15 * time.Second

func main() {
	var s settings
	flag.StringVar(&s.url, "url", "", "a real backend's ws or wss URL (default: a backend of its own, with visitors)")
	room := flag.String("room", "9527", "the room's id")
	live := flag.String("live", "1", "the live's id")
	user := flag.String("user", "42", "the bot's user id")
	flag.StringVar(&s.room.Name, "name", "bot", "the bot's name")
	flag.StringVar(&s.addr, "addr", "127.0.0.1:8099", "where to serve the page; loopback only")
	flag.BoolVar(&s.headless, "headless", false, "no page; cut, restart, and print what happened")
	flag.DurationVar(&s.duration, "for", 0, "end after this time (default: with Ctrl-C; headless: 20s)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Liveroom is a live room to look at. Flags:")
		flag.PrintDefaults()
	}
	flag.Parse()
	s.room.RoomID, s.room.LiveID, s.room.UserID = liveroom.Str(*room), liveroom.Str(*live), liveroom.Str(*user)
	s.room.Anchor = true
	log.SetFlags(log.Ltime)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, s settings) error {
	if s.headless && s.duration == 0 {
		s.duration = 20 * time.Second
	}
	if s.headless && s.url == "" && s.duration < shortest {
		return fmt.Errorf("-for %v is too short: headless takes %v at least", s.duration, shortest)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.duration > 0 {
		ctx, cancel = context.WithTimeout(ctx, s.duration)
		defer cancel()
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	var show *stage
	var options []wechatws.Option
	if s.url == "" {
		show = newStage(s.room, s.network)
		defer show.close()
		s.url, options = show.backend.URL(), show.dialing()
	}
	client, err := wechatws.New(s.url, options...)
	if err != nil {
		return err
	}
	room, err := liveroom.New(client, s.room, liveroom.WithHistoryBytes(shownBytes), liveroom.WithCommentRate(commentRate))
	if err != nil {
		return err
	}
	watched := watch(client)
	bot := newBot(room)
	running.Go(func() { bot.speak(ctx) })
	if s.headless {
		narrate(room, watched)
	} else if err := servePageOn(ctx, s.addr, &running, &desk{room: room, watch: watched, stage: show}); err != nil {
		return err
	}
	if show != nil {
		running.Go(func() { show.perform(ctx) })
		if s.headless {
			running.Go(func() { show.trouble(ctx, s.duration) })
		}
	}
	err = client.Run(ctx)
	cancel()
	running.Wait()
	if s.headless {
		return watched.summary(room.Snapshot(), show)
	}
	return err
}

// newServer returns a server that waits for no request, nor its body, for longer than readWithin.
func newServer(page http.Handler) *http.Server {
	return &http.Server{Handler: page, ReadTimeout: readWithin}
}

// servePageOn starts to serve the page on addr, until ctx ends. It does not block.
func servePageOn(ctx context.Context, addr string, running *sync.WaitGroup, d *desk) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("-addr %s: %w", addr, err)
	}
	if !isLoopback(host) {
		return fmt.Errorf("-addr %s: the page has buttons and no password; give an address of loopback, such as 127.0.0.1:8099", addr)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("-addr %s: %w; give another port, or 0 for any", addr, err)
	}
	server := newServer(newPage(ctx, d.look, d))
	running.Go(func() { _ = server.Serve(listener) }) // returns after Shutdown
	running.Go(func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(last) != nil {
			_ = server.Close()
		}
	})
	fmt.Printf("Open http://%s/ in a browser. Ctrl-C ends it.\n", listener.Addr())
	return nil
}
