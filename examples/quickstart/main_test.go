package main

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The demo ends by itself, and leaves nothing running.
func TestDemo(t *testing.T) {
	demo := startDemo()
	defer demo.Close()
	if err := run(t.Context(), demo.URL(), "token", demo); err != nil {
		t.Fatal(err)
	}
	if n := len(demo.Conns()); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}
