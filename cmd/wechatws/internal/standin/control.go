package standin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxCommand is the largest body of a request, in bytes.
const maxCommand = 1 << 20

// Control serves commands over HTTP on l until ctx ends: a POST has one as its body.
//
// It runs on the user's machine, where any page in a browser can send requests to it. It refuses what
// comes from one: requests with an Origin, or with a Sec-Fetch-Site other than none, and those with a
// Host that is not a loopback address or localhost, as a site has that resolves its own name to
// 127.0.0.1.
func (b *Backend) Control(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           http.HandlerFunc(b.control),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	ended := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer ended()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (b *Backend) control(w http.ResponseWriter, r *http.Request) {
	switch {
	case !isLoopback(r.Host):
		http.Error(w, "the Host must be a loopback address or localhost", http.StatusForbidden)
		return
	case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" && r.Header.Get("Sec-Fetch-Site") != "none":
		http.Error(w, "pages in a browser may not send commands", http.StatusForbidden)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST a command, such as help", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
	if err != nil {
		http.Error(w, "the command must have at most 1 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	line := strings.TrimSpace(string(body))
	if line == "help" {
		_, _ = io.WriteString(w, strings.Join(Help(b.room != nil), "\n")+"\n")
		return
	}
	hint, err := b.run(line)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := "done"
	if hint != "" {
		answer += ", but " + hint
	}
	_, _ = io.WriteString(w, answer+"\n")
}

// isLoopback reports whether a host, with or without a port, is a loopback address or localhost.
func isLoopback(host string) bool {
	ip, localhost := address(host)
	return localhost || ip != nil && ip.IsLoopback()
}

func address(host string) (ip net.IP, localhost bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return net.ParseIP(strings.Trim(host, "[]")), strings.EqualFold(host, "localhost")
}

// fromElsewhere reports whether a handshake comes from a page of a site that is not on this machine: by
// its Origin, or by a Host that is a name, which the site may have resolved to this machine.
func fromElsewhere(r *http.Request) bool {
	if ip, localhost := address(r.Host); ip == nil && !localhost {
		return true
	}
	origin := r.Header.Get("Origin")
	u, err := url.Parse(origin)
	return origin != "" && (err != nil || !isLoopback(u.Host))
}

// CheckControl returns an error if an address for commands is not of this machine only.
func CheckControl(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || !isLoopback(host) {
		return errors.New("must be a loopback address and a port, such as 127.0.0.1:9528")
	}
	return nil
}
