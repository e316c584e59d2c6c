// Shutdown ends a worker on SIGTERM: it finishes the job in hand, has the last
// results written, and saves what could not be written any more.
//
// It sends the SIGTERM to itself. Where there is no such thing, as on Windows, it
// says so and ends.
package main

import (
	"context"
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

// A result is what the worker has to tell for each of its jobs.
type result struct {
	Type string `json:"msg_type"`
	Job  int    `json:"job"`
}

// serve works until ctx ends, and returns what nobody has heard. Two lives of
// different length: the work ends with ctx, and the connection when the work has said
// its last word. With ctx for both the client would refuse, as closed, the result of
// the job that was in hand when the signal came.
func serve(ctx context.Context, client *wechatws.Client, work func(context.Context) error) (unsent []wechatws.Outbound, err error) {
	connection, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		// Ends when the work hangs up, or with an error that no other attempt would
		// mend, which ends the work as well.
		err := client.Run(connection)
		var left *wechatws.UndeliveredError
		if errors.As(err, &left) {
			unsent = left.Messages // in order, as they would have been on the wire
		}
		if connection.Err() != nil {
			return nil // we asked for it
		}
		return err
	})
	group.Go(func() error {
		defer hangUp()
		return work(ctx)
	})
	err = group.Wait() // and only then is unsent what it will be
	return unsent, err
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run stands for the life of two processes: one that is told to end while its server
// is there, and one while it is not.
func run(ctx context.Context, out io.Writer) error {
	site := newSite()
	defer site.Close()

	for _, life := range []struct {
		text string
		away bool
	}{
		{"SIGTERM while connected", false},
		{"SIGTERM while the server is away", true},
	} {
		fmt.Fprintf(out, "** %s\n", life.text)
		// In your program these two lines are the first of main. stop gives a second
		// signal its old meaning: die at once.
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
		context.AfterFunc(ctx, stop)

		// Kubernetes kills 30 s after its SIGTERM: drain for less than that.
		client, err := wechatws.New(site.URL(), append(site.demo(), wechatws.WithDrainTimeout(5*time.Second))...)
		if err != nil {
			return err
		}
		await := site.watch(client)
		unsent, err := serve(ctx, client, func(ctx context.Context) error {
			if err := await(ctx, life.away); err != nil {
				return err
			}
			return work(ctx, client, func(job int) error {
				if job == 3 { // it comes in the middle of a job, as these things do
					defer func() { <-ctx.Done() }()
					return terminateSelf()
				}
				return nil
			})
		})
		stop()
		if err != nil {
			return err
		}
		fmt.Fprintln(out, site.report())
		fmt.Fprintf(out, "to be saved for the next start: %d\n", len(unsent))
		for _, m := range unsent { // into a file or a database
			fmt.Fprintf(out, "  %s\n", m.Data)
		}
	}
	return nil
}

// work does jobs until ctx ends, and finishes the one in hand.
func work(ctx context.Context, client *wechatws.Client, do func(job int) error) error {
	for job := 1; ctx.Err() == nil; job++ {
		if err := do(job); err != nil {
			return err
		}
		// Not with ctx: it may have ended during the job, and Send takes nothing from
		// who has given up.
		if err := client.Send(context.WithoutCancel(ctx), result{"result", job}); err != nil {
			return err
		}
	}
	return nil
}

// terminateSelf is what systemd, Docker or Kubernetes would do.
func terminateSelf() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return self.Signal(syscall.SIGTERM)
}
