package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
)

// An embedded is a NATS server inside this process.
type embedded struct {
	*server.Server
	lock      *flock.Flock // on the directory of WithDir, or nil
	temporary string       // the directory of its files, if stop removes it
}

// startEmbedded starts an embedded server, and waits until it is ready. If it does not listen, only this process can reach it.
func startEmbedded(ctx context.Context, cfg *config) (_ *embedded, err error) {
	e := &embedded{}
	dir := cfg.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "wechatws-fleet-"); err != nil {
			return nil, fmt.Errorf("fleet: embedded NATS: %w", err)
		}
		e.temporary = dir
	} else if e.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	options := &server.Options{
		ServerName: cfg.name + "-embedded",
		JetStream:  true,
		StoreDir:   dir,
		DontListen: cfg.listen == "",
		NoSigs:     true, // signals belong to the program
		NoLog:      true,
		MaxPayload: 8 << 20,

		Authorization: cfg.token,
	}
	if cfg.listen != "" {
		options.Host, options.Port, _ = listenAddress(cfg.listen)
	}
	if cfg.tls != nil {
		options.TLS, options.TLSConfig, options.TLSTimeout = true, cfg.tls.Clone(), 5
	}
	if e.Server, err = server.NewServer(options); err != nil {
		e.release()
		return nil, fmt.Errorf("fleet: embedded NATS: %w", err)
	}
	var why fatal
	e.SetLogger(&why, false, false)
	e.Start()
	for began := time.Now(); !e.ReadyForConnections(25 * time.Millisecond); {
		if err = why.err(cfg); err == nil && ctx.Err() != nil {
			err = fmt.Errorf("fleet: embedded NATS is not ready: %w", context.Cause(ctx))
		}
		if err == nil && time.Since(began) > 10*time.Second {
			err = errors.New("fleet: embedded NATS did not start within 10 s")
		}
		if err != nil {
			e.stop()
			return nil, err
		}
	}
	return e, nil
}

// A fatal is the logger of an embedded server, and keeps only why the server cannot start.
type fatal struct {
	mu   sync.Mutex
	text string
}

func (l *fatal) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = cmp.Or(l.text, fmt.Sprintf(format, v...))
}

func (*fatal) Noticef(string, ...any) {}
func (*fatal) Warnf(string, ...any)   {}
func (*fatal) Errorf(string, ...any)  {}
func (*fatal) Debugf(string, ...any)  {}
func (*fatal) Tracef(string, ...any)  {}

// err returns an error that names the option that is in the way, or nil if the server has not given up.
func (l *fatal) err(cfg *config) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.text == "":
		return nil
	case strings.HasPrefix(l.text, "Error listening"):
		return wrong("WithListen", quoted(cfg.listen), "must be an address of this machine, with a port that no program has: "+l.text)
	case cfg.dir != "":
		return wrong("WithDir", strconv.Quote(cfg.dir), "must be a directory in which the embedded server can start: "+l.text)
	}
	return fmt.Errorf("fleet: embedded NATS cannot start: %s", l.text)
}

// listenAddress reads an address of WithListen. If it cannot be used, want says what would be right.
func listenAddress(address string) (host string, port int, want string) {
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, "must be host:port, such as 127.0.0.1:4222"
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return "", 0, "must end with a port number, 0 to 65535"
	}
	if port = int(n); port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, ""
}

// loopback reports whether only this machine can connect to an address. A name may stand for any address,
// and an empty host stands for all of them. An address that is none is refused elsewhere.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, errIP := netip.ParseAddr(host)
	return err != nil || host == "localhost" || errIP == nil && ip.IsLoopback()
}

// lockDir locks the directory of WithDir: a NATS server does not, and two servers with the same files would
// both give out every room. The operating system unlocks it when the process ends.
func lockDir(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, wrong("WithDir", strconv.Quote(dir), "must be a directory, or one that can be made: "+err.Error())
	}
	lock := flock.New(filepath.Join(dir, "fleet.lock"))
	locked, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, wrong("WithDir", strconv.Quote(dir), "must be a directory in which files can be locked: "+err.Error())
	case !locked:
		return nil, wrong("WithDir", strconv.Quote(dir), "must be of one Fleet at a time: another Fleet, of this process or another, has it open; "+
			"give each one its own, or WithListen to that one and WithNATS to this one")
	}
	return lock, nil
}

func (e *embedded) stop() {
	e.Shutdown()
	e.WaitForShutdown()
	e.release()
}

// release releases the directory of the server's files.
func (e *embedded) release() {
	if e.lock != nil {
		_ = e.lock.Unlock()
	}
	if e.temporary != "" {
		os.RemoveAll(e.temporary)
	}
}
