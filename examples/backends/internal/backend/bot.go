package backend

import (
	"context"
	"errors"
	"log"
	"os"
	"testing"
	"time"
)

// A Bot is a run of a bot's function run.
type Bot struct {
	// Lines is what the bot has printed by package log, without the time.
	*Lines

	t      testing.TB
	cancel context.CancelFunc
	err    error // what run has returned
}

// Run runs a bot until [Bot.Stop] or the end of the test. Package log belongs to the bot
// meanwhile: run one at a time.
func Run(t testing.TB, run func(ctx context.Context) error) *Bot {
	ctx, cancel := context.WithCancel(context.Background())
	b := &Bot{Lines: newLines(t, "the bot"), t: t, cancel: cancel}
	log.SetOutput(b.Lines)
	log.SetFlags(0)
	go func() {
		defer close(b.ended)
		b.err = run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-b.ended
		log.SetOutput(os.Stderr)
	})
	return b
}

// Stop cancels the context of the bot and returns what run has returned, nil for the
// context's error.
func (b *Bot) Stop() error {
	b.t.Helper()
	b.cancel()
	if err := b.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Wait waits for the bot's own end and returns what run has returned.
func (b *Bot) Wait() error {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(patience):
		b.t.Fatal("the bot does not end")
	}
	return b.err
}
