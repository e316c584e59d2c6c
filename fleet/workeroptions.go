package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A WorkerOption configures a [Worker]. A later option replaces an earlier one of the same name.
type WorkerOption func(*workerConfig)

type workerConfig struct {
	name         string
	secrets      func(ctx context.Context, ref string) (string, error)
	endpoints    []string // nil: any
	moveRate     float64  // rooms a second
	joinRate     float64  // rooms a second
	maxRooms     int      // 0: no limit
	drainTimeout time.Duration
	types        []string // nil: all but answers to heartbeats

	roomMessages, roomBytes float64 // a second

	mistakes mistakes
}

// WithWorkerName sets the name of the worker; the default consists of the name of the host and the
// number of the process. Rooms are placed by the name: a worker that is started again with the same
// name gets the same rooms. Of two workers with one name the younger gets them. The name must be 1 to
// 128 bytes of UTF-8 without control characters.
func WithWorkerName(name string) WorkerOption {
	return func(c *workerConfig) {
		c.name = name
		c.mistakes.check("WithWorkerName", fmt.Sprintf("%.140q", name), wantWorkerName(name))
	}
}

func wantWorkerName(name string) string {
	switch {
	case name == "" || len(name) > longestID:
		return "must be 1 to 128 bytes"
	case strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name):
		return "must be text without control characters"
	}
	return ""
}

// WithSecrets sets the function that looks up the references of [Spec.Secrets], such as one of
// [LookUpSecret]; by default [Room.Secret] returns an error. lookUp is called on any number of
// goroutines.
//
// The program that adds a room chooses its references, and the endpoint that the secrets are sent
// to: permit only secrets that are meant for rooms, and see [WithEndpoints].
func WithSecrets(lookUp func(ctx context.Context, ref string) (string, error)) WorkerOption {
	return func(c *workerConfig) {
		c.secrets = lookUp
		c.mistakes.check("WithSecrets", "nil", unless(lookUp != nil, "must be a function that looks up references"))
	}
}

// WithMoveRate sets how many rooms a second are handed over to other workers, when one has joined
// or this one drains; the default is 50.
func WithMoveRate(rate float64) WorkerOption {
	return func(c *workerConfig) {
		c.moveRate = rate
		c.mistakes.check("WithMoveRate", rate, unless(rate > 0, "must be above zero"))
	}
}

// WithMaxRooms sets how many rooms the worker takes at most; by default there is no limit. A worker that
// holds so many takes no more shards: other workers take them, and if all are full the rooms have no
// holder. It must be more than the rooms of a shard. Rooms that are added to the worker's shards later
// are held all the same, and so are rooms that [Control.Move] moves to it.
func WithMaxRooms(n int) WorkerOption {
	return func(c *workerConfig) {
		c.maxRooms = n
		c.mistakes.check("WithMaxRooms", n, unless(n >= 1, "must be above zero"))
	}
}

// WithJoinRate sets how many rooms a second the worker connects to at most when it has taken them; the
// default is 1000. Of the rooms that it has taken, 64 are being connected to at the same time; one for
// which that takes longer than 5 s does not count any more. Reconnecting is up to the clients.
func WithJoinRate(rate float64) WorkerOption {
	return func(c *workerConfig) {
		c.joinRate = rate
		c.mistakes.check("WithJoinRate", rate, unless(rate > 0, "must be above zero"))
	}
}

// WithDrainTimeout sets how long handing over may take at the end of [Worker.Run]; the default is
// 25 s. The rate of handing over rises if necessary. Rooms that are left then are closed at once,
// and taken by other workers within seconds.
func WithDrainTimeout(d time.Duration) WorkerOption {
	return func(c *workerConfig) {
		c.drainTimeout = d
		c.mistakes.check("WithDrainTimeout", d, unless(d > 0, "must be longer than zero"))
	}
}

// WithTypes sets the types of messages from rooms that are published for handlers, see [wechatws.Message];
// by default all are but "pong", the answer to the heartbeat that clients have by default. Answers that
// [wechatws.Heartbeat] Pong takes are never published. The empty type is that of messages without one,
// and of binary messages.
func WithTypes(types ...string) WorkerOption {
	types = slices.Clone(types)
	return func(c *workerConfig) {
		c.types = types
		c.mistakes.check("WithTypes", "", unless(len(types) > 0, "must have a type at least"))
	}
}

// WithRoomBudget sets how many messages and bytes a second of one room are published for handlers; the
// default is 200 messages and 1 MiB. A room that has sent less may send as much as in 10 s at once. What
// a room sends beyond that is dropped, counted in [WorkerStats] and reported to the functions of
// [Worker.OnError] every 10 s, and other rooms are not affected. A message that is larger than 10 s'
// worth of bytes is always dropped. More messages than the room's shard can publish, which is one in each
// round trip to NATS, hold up the client; see docs/fleet-scale.md.
func WithRoomBudget(messages, bytes int) WorkerOption {
	return func(c *workerConfig) {
		c.roomMessages, c.roomBytes = float64(messages), float64(bytes)
		c.mistakes.check("WithRoomBudget", fmt.Sprintf("%d, %d", messages, bytes), unless(messages > 0 && bytes > 0, "must be above zero"))
	}
}

// newWorkerConfig applies options to the defaults. The error joins all mistakes.
func newWorkerConfig(connects bool, options []WorkerOption) (workerConfig, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	c := workerConfig{
		name:         fmt.Sprintf("%s-%d", cleaned(host), os.Getpid()),
		secrets:      noSecrets,
		moveRate:     50,
		joinRate:     1000,
		drainTimeout: 25 * time.Second,
		roomMessages: defaultRoomMessages,
		roomBytes:    defaultRoomBytes,
	}
	apply(&c, &c.mistakes, "NewWorker", options)
	if !connects {
		c.mistakes.check("NewWorker", "nil", "connect must be a function that makes the client of a room")
	}
	return c, c.mistakes.err()
}

func noSecrets(context.Context, string) (string, error) {
	return "", errors.New("WithSecrets is not given: it must permit the references that rooms may have")
}
