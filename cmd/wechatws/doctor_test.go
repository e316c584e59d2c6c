package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/doctor"
	"github.com/wechatws/wechatws/wstest"
)

// quick leaves out the checks that wait.
const quick = "--without=messages,pings,heartbeat,answers,silence,close,size,client,handshake,subprotocols,compression"

func TestDoctorPlan(t *testing.T) {
	s := wstest.NewServer()
	defer s.Close()
	out, errs, code := try(t.Context(), "", "doctor", s.URL(), "--plan", "--watch", "30s")
	require.Zero(t, code, errs)
	assert.Contains(t, out, "doctor will make at most ")
	assert.Contains(t, out, "silence       watch connections")
	assert.Empty(t, s.Handshakes())

	out, _, _ = try(t.Context(), "", "doctor", s.URL(), "--plan", "--json")
	var line struct{ Plan doctor.Plan }
	require.NoError(t, json.Unmarshal([]byte(out), &line))
	assert.NotZero(t, line.Plan.Connections)
}

func TestDoctor(t *testing.T) {
	s := wstest.NewServer()
	defer s.Close()
	out, errs, code := try(t.Context(), "", "doctor", s.URL(), quick)
	require.Zero(t, code, errs)
	assert.Contains(t, out, "addresses     ok       it accepts connections")
	assert.Contains(t, out, `client, err := wechatws.New("`+s.URL()+`")`)
}

func TestDoctorAsJSON(t *testing.T) {
	s := wstest.NewServer()
	defer s.Close()
	out, errs, code := try(t.Context(), "", "doctor", s.URL(), quick, "--json")
	require.Zero(t, code, errs)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var kinds []string
	var last struct{ End doctor.End }
	for _, line := range lines {
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
		require.Len(t, fields, 1)
		for kind := range fields {
			kinds = append(kinds, kind)
		}
	}
	assert.Equal(t, "plan", kinds[0])
	assert.Equal(t, "finding", kinds[1])
	assert.Equal(t, "end", kinds[len(kinds)-1])
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &last))
	assert.Contains(t, last.End.Code, "wechatws.New(")
}

func TestDoctorFailsIfNoClientCouldConnect(t *testing.T) {
	s := wstest.NewServer()
	url := s.URL()
	s.Close()
	out, errs, code := try(t.Context(), "", "doctor", url, quick)
	assert.Equal(t, failed, code)
	assert.Contains(t, out, "addresses     fail")
	assert.Contains(t, errs, "no client could connect, or stay connected: see addresses")
}

// Nothing has failed, and nothing is known.
func TestDoctorFailsIfNothingIsKnown(t *testing.T) {
	s := wstest.NewServer()
	defer s.Close()
	s.AnswerAlways(wstest.CutHandshake(wstest.FIN))
	_, errs, code := try(t.Context(), "", "doctor", s.URL(), "--without=subprotocols")
	assert.Equal(t, failed, code)
	assert.Contains(t, errs, "whether a client can stay connected is unknown: the handshake fails")
}

func TestDoctorIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, code := try(ctx, "", "doctor", "ws://127.0.0.1:1", quick)
	assert.Equal(t, interrupted, code)
}

func TestDoctorWrongCommandLines(t *testing.T) {
	for line, want := range map[string]string{
		"doctor":                                         "URL is missing",
		"doctor http://example.com":                      `must be ws or wss`,
		"doctor ws://example.com --without no":           "must be one of dns, proxy",
		"doctor ws://example.com --watch 0s":             "--watch 0s: must be above zero",
		"doctor ws://example.com --max-message 1":        "--max-message 1: must be 64 bytes or more",
		"doctor ws://example.com --dial-timeout 0s":      "--dial-timeout 0s: must be above zero",
		"doctor ws://example.com --login env:NOT_SET_12": "--login env:NOT_SET_12: the variable is not set",
		"doctor ws://example.com --subprotocol a,b":      "--subprotocol",
	} {
		out, errs, code := try(t.Context(), "", strings.Fields(line)...)
		assert.Equal(t, wrong, code, line)
		assert.Empty(t, out, line)
		assert.Contains(t, errs, want, line)
	}
}

func TestDoctorCompletes(t *testing.T) {
	out, _, _ := try(t.Context(), "", "__complete", "doctor", "--without", "")
	assert.Contains(t, out, "silence\n")
}
