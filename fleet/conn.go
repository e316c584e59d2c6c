package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// connect connects to NATS, and waits until it is connected.
func (f *Fleet) connect(ctx context.Context) error {
	if err := f.dial(ctx); err != nil {
		return err
	}
	return f.connected(ctx)
}

// forLeases returns the fleet on a connection of its own, for renewals: on that of the rooms they would wait
// behind what rooms send. All workers of the process share it. Beside a connection of the program there is
// no other.
func (f *Fleet) forLeases(ctx context.Context) (*Fleet, error) {
	if f.cfg.conn != nil {
		return f, nil
	}
	f.mu.Lock()
	if f.renewing == nil {
		l := &Fleet{name: f.name, cfg: f.cfg, settled: f.settled, embedded: f.embedded, leases: f.leases, log: f.log}
		if err := l.dial(ctx); err != nil {
			f.mu.Unlock()
			return nil, err
		}
		f.renewing = l
	}
	l := f.renewing
	f.mu.Unlock()
	return l, l.connected(ctx)
}

// connected waits until the connection to NATS is there.
func (f *Fleet) connected(ctx context.Context) error {
	for !f.nc.IsConnected() {
		if f.nc.IsClosed() { // by the program, or because NATS has refused the credentials twice
			err := nats.ErrConnectionClosed
			if last := f.nc.LastError(); last != nil && f.cfg.conn == nil {
				err = last
			}
			return fmt.Errorf("fleet: NATS: %w", err)
		}
		select {
		case <-ctx.Done():
			return f.unreached(context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// unreached returns the error of a connection that is not there when its context ends.
func (f *Fleet) unreached(cause error) error {
	at := ""
	if f.cfg.urls != "" {
		at = " at " + f.cfg.where()
	}
	why := f.nc.LastError()
	if refused := f.refused.Load(); why == nil && refused != nil {
		why = *refused
	}
	if why == nil {
		return fmt.Errorf("fleet: NATS cannot be reached%s: %w", at, cause)
	}
	return fmt.Errorf("fleet: NATS cannot be reached%s: %w (%w)", at, why, cause)
}

// dial makes the connection, or takes that of WithConn. It does not wait until it is connected.
func (f *Fleet) dial(ctx context.Context) (err error) {
	if f.nc = f.cfg.conn; f.nc == nil {
		if err := f.dialOwn(ctx); err != nil {
			return err
		}
	}
	if f.cfg.prefix == defaultPrefix {
		f.js, err = jetstream.New(f.nc)
	} else {
		f.js, err = jetstream.NewWithAPIPrefix(f.nc, f.cfg.prefix)
	}
	return err
}

// dialOwn makes the connection, and starts the embedded server if there is one that does not run.
func (f *Fleet) dialOwn(ctx context.Context) (err error) {
	options := append([]nats.Option{
		nats.Name("wechatws fleet " + f.name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(200*time.Millisecond, 200*time.Millisecond),
		// Nothing is kept for a later connection: a renewal or a message that waited for a server
		// would be sent at a time that was not checked against the lease.
		nats.ReconnectBufSize(-1),
		// A half-open connection is detected in time for another server to renew leases.
		nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2),
		nats.Timeout(time.Second),
		nats.RetryOnFailedConnect(true),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				f.log.Warn("NATS connection lost", "err", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { f.refused.Store(&err) }),
		nats.ReconnectHandler(func(*nats.Conn) { f.log.Info("NATS connection is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			f.log.Warn("NATS", "err", err)
		}),
	}, f.cfg.nats...)
	if f.cfg.embedded {
		if f.embedded == nil {
			if f.embedded, err = startEmbedded(ctx, f.cfg); err != nil {
				return err
			}
		}
		options = append(options, nats.InProcessServer(f.embedded), nats.Token(f.cfg.token))
	}
	if f.nc, err = nats.Connect(f.cfg.urls, options...); err != nil {
		return fmt.Errorf("fleet: NATS: %w", err)
	}
	return nil
}

const defaultPrefix = "$JS.API"

// api returns the subject of a request to JetStream. All such subjects are made here: see WithAPIPrefix.
func (f *Fleet) api(request string) string { return f.cfg.prefix + "." + request }

// keySubject returns the subject to which a key of a bucket is written.
func (f *Fleet) keySubject(kv jetstream.KeyValue, key string) string {
	subject := "$KV." + kv.Bucket() + "." + key
	if f.cfg.prefix != defaultPrefix { // as the NATS client does: plain subjects of buckets stay in one domain
		return f.api(subject)
	}
	return subject
}

// wantConn returns what is wrong with a connection of the program.
func wantConn(nc *nats.Conn) string {
	switch {
	case nc == nil:
		return "must not be nil"
	case nc.Opts.ReconnectBufSize >= 0:
		// A renewal or a message that waited for a server would be sent at a time that was not checked
		// against the lease.
		return "must be made with nats.ReconnectBufSize(-1): what a fleet publishes must not wait for a later connection"
	case nc.Opts.MaxReconnect >= 0:
		return "must be made with nats.MaxReconnects(-1): a fleet has no other connection"
	}
	return ""
}
