package main

import (
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/wechatws/wechatws/fleet"
)

// health answers as the worker does, and before there is one, while NATS is waited for, that
// the program is alive and not ready: to start it again would not bring NATS back.
type health struct {
	worker atomic.Pointer[fleet.Worker]
}

func (h *health) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if w := h.worker.Load(); w != nil {
		w.ServeHTTP(rw, r)
		return
	}
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if strings.HasSuffix(r.URL.Path, "/ready") {
		http.Error(rw, "waiting for NATS", http.StatusServiceUnavailable)
		return
	}
	_, _ = rw.Write([]byte("alive\n"))
}
