package main

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

const (
	proxyAddr = "proxy.test:3128"
	user      = "bot"
	password  = "open-sesame"
)

// A site stands in for a company's network: a server with its own certificate, a proxy in
// front of it, and files with the certificates of authorities.
type site struct {
	*wstest.Server
	network               *wstest.Network
	proxy                 *http.Server
	files                 string
	pemFile, otherPEMFile string

	mu      sync.Mutex
	asked   []string
	piping  sync.WaitGroup
	serving sync.WaitGroup
}

func newSite() (_ *site, err error) {
	s := &site{network: wstest.NewNetwork()}
	s.Server = wstest.NewServer(wstest.WithNetwork(s.network), wstest.WithTLS(), wstest.WithAddr("server.test:443"))
	s.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		_ = c.Send(`{"msg_type":"welcome","content":"you came through the proxy"}`)
	})
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	listener, err := s.network.Listen(proxyAddr)
	if err != nil {
		return nil, err
	}
	s.proxy = &http.Server{Handler: s}
	s.serving.Go(func() { _ = s.proxy.Serve(listener) })

	if s.files, err = os.MkdirTemp("", "recipe"); err != nil {
		return nil, err
	}
	if s.pemFile, err = s.writePEM("ours.pem", s.Server); err != nil {
		return nil, err
	}
	other := wstest.NewServer(wstest.WithNetwork(s.network), wstest.WithTLS(), wstest.WithAddr("server.test:8443"))
	defer other.Close()
	s.otherPEMFile, err = s.writePEM("other.pem", other)
	return s, err
}

// writePEM writes the self-signed certificate of a server into a file. Yours comes from the
// operator of the authority.
func (s *site) writePEM(name string, of *wstest.Server) (string, error) {
	file := filepath.Join(s.files, name)
	return file, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: of.Certificate().Raw}), 0o600)
}

func (s *site) Close() {
	s.Server.Close() // ends the tunnels, too
	if s.proxy != nil {
		_ = s.proxy.Close()
	}
	s.serving.Wait()
	s.piping.Wait()
	if s.files != "" {
		_ = os.RemoveAll(s.files)
	}
}

func (s *site) proxyURL(password string) string {
	return fmt.Sprintf("http://%s:%s@%s", user, password, proxyAddr)
}

// demo returns the options that only the demo needs: a network in memory, and no second attempt.
func (s *site) demo() []wechatws.Option {
	return []wechatws.Option{wechatws.WithNetDial(s.network.DialContext), wechatws.WithoutReconnect()}
}

// tunnels returns the addresses to which the proxy has made tunnels.
func (s *site) tunnels() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// ServeHTTP is the proxy.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	if r.Header.Get("Proxy-Authorization") != want {
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
		http.Error(w, "no valid credentials", http.StatusProxyAuthRequired)
		return
	}
	server, err := s.network.DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		server.Close()
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, r.Host)
	s.mu.Unlock()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		client.Close()
		server.Close()
		return
	}
	// The end of one direction ends the other.
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		to.Close()
	}
	s.piping.Go(func() { pipe(server, client) })
	s.piping.Go(func() { pipe(client, server) })
}
