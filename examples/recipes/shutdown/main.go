// Shutdown ends a worker on SIGTERM: the job in hand is finished, the last results are
// written, and those that cannot be written are handed back, saved, and sent again by the
// next start.
//
// It sends the SIGTERM to itself. Where there is no such signal, as on Windows, it reports
// that and ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wechatws/wechatws"
)

// grace is the time for a shutdown. Kubernetes kills a container 30 s after its SIGTERM.
const grace = 20 * time.Second

// A result is the message that the worker sends after each job.
type result struct {
	Type string `json:"msg_type"`
	Job  int    `json:"job"`
}

// serve runs client and work until ctx ends, and shuts the client down within grace. It
// returns the messages that were accepted and not delivered, in the order of acceptance.
//
// The connection must outlive the work: if ctx ended both, the client would be closed when
// work sends the result of the job that was in hand at the signal.
func serve(ctx context.Context, client *wechatws.Client, work func(context.Context) error) (unsent []wechatws.Outbound, err error) {
	connection := context.WithoutCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := client.Run(connection) // returns after Shutdown, or with a permanent error, which ends ctx
		if errors.As(err, new(*wechatws.UndeliveredError)) {
			return nil // Shutdown returns it, too
		}
		return err
	})
	group.Go(func() error {
		err := work(ctx)
		within, cancel := context.WithTimeout(connection, grace)
		defer cancel()
		var left *wechatws.UndeliveredError
		if errors.As(client.Shutdown(within), &left) {
			unsent = left.Messages
		}
		return err
	})
	err = group.Wait()
	return unsent, err
}

// work sends the messages that an earlier process has saved, and then does jobs until ctx
// ends. It finishes the one in hand.
func work(ctx context.Context, client *wechatws.Client, saved []wechatws.Outbound, do func() (job int, err error)) error {
	accepting := context.WithoutCancel(ctx) // Send refuses a message when its context has ended
	for _, m := range saved {
		if err := client.Send(accepting, m); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		job, err := do()
		if err != nil {
			return err
		}
		if err := client.Send(accepting, result{"result", job}); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run stands for the life of three processes. The first gets its SIGTERM while it is
// connected, the second while the server is away; the third is its next start.
func run(ctx context.Context, out io.Writer) error {
	site := newSite()
	defer site.Close()

	job, file := 0, []byte("[]") // the file with the saved messages, in JSON with their deadlines
	for _, life := range []struct {
		text string
		away bool
		last int // the job during which the SIGTERM comes
	}{
		{"SIGTERM while connected", false, 3},
		{"SIGTERM while the server is away", true, 6},
		{"the next start", false, 7},
	} {
		fmt.Fprintf(out, "** %s\n", life.text)
		site.Start()
		// In your program these two lines are the first of main. After stop a second
		// signal ends the process at once.
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
		context.AfterFunc(ctx, stop)

		client, err := wechatws.New(site.URL(), site.demo()...)
		if err != nil {
			return err
		}
		var saved []wechatws.Outbound
		if err := json.Unmarshal(file, &saved); err != nil {
			return err
		}
		await := site.watch(client)
		unsent, err := serve(ctx, client, func(ctx context.Context) error {
			if err := await(ctx, life.away); err != nil {
				return err
			}
			return work(ctx, client, saved, func() (int, error) {
				job++
				if job < life.last {
					return job, nil
				}
				err := terminateSelf() // the signal comes in the middle of a job
				if err == nil {
					<-ctx.Done()
				}
				return job, err
			})
		})
		stop()
		if err != nil {
			return err
		}
		if file, err = json.Marshal(unsent); err != nil {
			return err
		}
		fmt.Fprintln(out, site.report())
		fmt.Fprintf(out, "handed back, and saved for the next start: %d\n", len(unsent))
		for _, m := range unsent {
			fmt.Fprintf(out, "  %s\n", wechatws.Printable(m.Data))
		}
	}
	return nil
}

// terminateSelf sends this process the signal that systemd, Docker or Kubernetes sends.
func terminateSelf() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return self.Signal(syscall.SIGTERM)
}
