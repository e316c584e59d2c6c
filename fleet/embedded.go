package fleet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
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

// startEmbedded starts an embedded server. If it does not listen, only this process can reach it.
func startEmbedded(cfg *config) (_ *embedded, err error) {
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
	e.Start()
	if !e.ReadyForConnections(10 * time.Second) {
		e.stop()
		return nil, errors.New("fleet: embedded NATS did not start within 10 s; is its port in use?")
	}
	return e, nil
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
		return nil, wrong("WithDir", dir, "must be a directory, or one that can be made: "+err.Error())
	}
	lock := flock.New(filepath.Join(dir, "fleet.lock"))
	locked, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, wrong("WithDir", dir, "must be a directory in which files can be locked: "+err.Error())
	case !locked:
		return nil, wrong("WithDir", dir, "must be of one Fleet at a time: another Fleet, of this process or another, has it open; "+
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
