package fleet

import (
	"errors"
	"fmt"
	"net"
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
	e := &embedded{}
	dir := cfg.Dir
	if dir == "" {
		var err error
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
		NoSigs:     true, // the process is not ours
		NoLog:      true,
		MaxPayload: 8 << 20,
	}
	if cfg.Listen != "" {
		host, port, err := net.SplitHostPort(cfg.Listen)
		if err != nil {
			e.remove()
			return nil, wrong("Config.Listen", cfg.Listen, "must be host:port, such as 127.0.0.1:4222")
		}
		options.Host = host
		if options.Port, err = strconv.Atoi(port); err != nil {
			e.remove()
			return nil, wrong("Config.Listen", cfg.Listen, "must end with a port number")
		}
		if options.Port == 0 {
			options.Port = server.RANDOM_PORT
		}
	}
	var err error
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
