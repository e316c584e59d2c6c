package fleet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// An embedded is a NATS server inside this process.
type embedded struct {
	*server.Server
	temporary string // the directory of its files, if stop removes it
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
		e.remove()
		return nil, fmt.Errorf("fleet: embedded NATS: %w", err)
	}
	e.Start()
	if !e.ReadyForConnections(10 * time.Second) {
		e.stop()
		return nil, errors.New("fleet: embedded NATS did not start within 10 s; is its folder in use, or its port?")
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

func (e *embedded) stop() {
	e.Shutdown()
	e.WaitForShutdown()
	e.remove()
}

func (e *embedded) remove() {
	if e.temporary != "" {
		os.RemoveAll(e.temporary)
	}
}
