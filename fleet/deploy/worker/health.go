package main

import (
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/wechatws/wechatws/fleet"
)

// health answers as the worker does. While the program waits for NATS there is no worker yet, and health
// answers that the program is alive and not ready: a restart would not help.
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
