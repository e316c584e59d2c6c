package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// try runs wechatws, and returns its output, its errors and its exit code.
func try(ctx context.Context, stdin string, args ...string) (out, errs string, code int) {
	c := command()
	var stdout, stderr bytes.Buffer
	c.SetOut(&stdout)
	c.SetErr(&stderr)
	c.SetIn(strings.NewReader(stdin))
	code = execute(ctx, c, args)
	return stdout.String(), stderr.String(), code
}

func TestVersion(t *testing.T) {
	out, errs, code := try(t.Context(), "", "version")
	require.Zero(t, code, errs)
	assert.Contains(t, out, "wechatws ")

	for _, flag := range []string{"--json", "-json"} {
		out, _, _ = try(t.Context(), "", "version", flag)
		var b build
		require.NoError(t, json.Unmarshal([]byte(out), &b))
		assert.Equal(t, thisBuild(), b)
	}
}

func TestWrongCommandLines(t *testing.T) {
	for line, want := range map[string]string{
		"versoin":               `unknown command "versoin"; did you mean version?`,
		"wss://h/?token=s3cret": "the command is missing before the URL: connect or doctor",
		"version --no-such":     "unknown flag: --no-such",
		"version --json=no":     "the value of --json cannot be used: see --help",
	} {
		out, errs, code := try(t.Context(), "", strings.Fields(line)...)
		assert.Equal(t, wrong, code, line)
		assert.Empty(t, out, line)
		assert.Contains(t, errs, want, line)
		assert.NotContains(t, errs, "s3cret")
	}
}
