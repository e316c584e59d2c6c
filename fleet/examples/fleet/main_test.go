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

func TestMain(m *testing.M) {
	if name := os.Getenv(workerVariable); name != "" {
		if err := work(name); err != nil {
			os.Stderr.WriteString(name + ": " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestShow(t *testing.T) {
	var out bytes.Buffer
	s := &show{rooms: 40, workers: 3, lease: 3 * time.Second, steady: time.Second, out: &out}
	err := s.run(t.Context())
	t.Log(out.String())
	require.NoError(t, err)
	assert.Contains(t, out.String(), "rooms held twice at any moment: 0")
}
