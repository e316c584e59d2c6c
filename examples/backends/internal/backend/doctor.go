package backend

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Doctor runs "wechatws doctor" with these arguments, its long checks in short, and returns its findings,
// the call of wechatws.New at their end, and whether its exit code says that a client can stay connected.
// The test is skipped with -short.
func Doctor(t testing.TB, args ...string) (findings, call string, ok bool) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	program := filepath.Join(t.TempDir(), "wechatws")
	output, err := exec.Command("go", "build", "-C", filepath.Join("..", "..", "..", "cmd", "wechatws"), "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)
	doctor := exec.CommandContext(t.Context(), program, append([]string{"doctor", "--watch=4s", "--max-message=4096"}, args...)...)
	output, err = doctor.CombinedOutput()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("doctor has printed:\n%s", output)
		}
	})
	require.Contains(t, []int{0, 1}, doctor.ProcessState.ExitCode())
	findings, call, found := strings.Cut(string(output), "The call that fits:\n")
	require.True(t, found, "there is no call")
	return findings, call, err == nil
}
