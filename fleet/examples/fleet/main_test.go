package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// playMain has the test binary be the program.
const playMain = "FLEET_EXAMPLE_MAIN"

func TestMain(m *testing.M) {
	if role(os.Getenv(roleVariable)) {
		os.Exit(0)
	}
	if os.Getenv(playMain) != "" {
		os.Args = append(os.Args[:1], "-rooms", "20", "-for", "1m")
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestShow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &show{rooms: 40, workers: 3, lease: 3 * time.Second, duration: 12 * time.Second, seed: 1, out: &out}
	err := s.run(t.Context())
	t.Log(out.String())
	require.NoError(t, err)
	assert.Contains(t, out.String(), "rooms held in the end: 40 of 40; held twice at any moment: 0")
	assert.Contains(t, out.String(), "lost 0,")
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &show{rooms: 10, workers: 3, lease: 3 * time.Second, duration: 8 * time.Second, out: &out, live: true}
	require.NoError(t, s.run(t.Context()))
	assert.Contains(t, out.String(), "\x1b[J", "drawn over")
}
