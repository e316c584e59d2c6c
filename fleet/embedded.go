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
	temporary string // its files, when they go with it
}

// startEmbedded starts one. When it does not listen, only this process can reach it.
func startEmbedded(cfg Config) (*embedded, error) {
	host, port, err := listenAddress(cfg)
	if err != nil {
		return nil, err
	}
	e := &embedded{}
	dir := cfg.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "wechatws-fleet-"); err != nil {
			return nil, fmt.Errorf("fleet: embedded NATS: %w", err)
		}
		e.temporary = dir
	}
	options := &server.Options{
		ServerName: cfg.Name + "-embedded",
		JetStream:  true,
		StoreDir:   dir,
		DontListen: cfg.Listen == "",
		Host:       host,
		Port:       port,
		NoSigs:     true, // the process is not ours
		NoLog:      true,
		MaxPayload: 8 << 20,

		Authorization: cfg.Token,
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

// listenAddress reads Config.Listen.
func listenAddress(cfg Config) (host string, port int, err error) {
	if cfg.Listen == "" {
		return "", 0, nil
	}
	host, number, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return "", 0, wrong("Config.Listen", cfg.Listen, "must be host:port, such as 127.0.0.1:4222")
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return "", 0, wrong("Config.Listen", cfg.Listen, "must end with a port number, 0 to 65535")
	}
	if port = int(n); port == 0 {
		port = server.RANDOM_PORT
	}
	// A name may stand for any address, and none for all of them.
	if ip, err := netip.ParseAddr(host); cfg.Token == "" && host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return "", 0, wrong("Config.Listen", cfg.Listen, "must be a loopback address without Config.Token: whatever reaches it could do everything")
	}
	return host, port, nil
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
