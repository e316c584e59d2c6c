//go:build linux

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
	if role(os.Getenv(roleVariable)) {
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestTrial(t *testing.T) {
	var out bytes.Buffer
	s := settings{rooms: 40, workers: 2, settle: time.Second, measure: 2 * time.Second, talk: time.Second, send: 10}
	err := run(t.Context(), s, &out)
	t.Log(out.String())
	require.NoError(t, err)
	assert.Contains(t, out.String(), "| all workers | 40 ")
	assert.Contains(t, out.String(), "held twice at any moment: 0; messages that could not be sent: 0")
}
