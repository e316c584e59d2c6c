package simulation_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var putBack = flag.String("faults", "", "put faults with such a title back into the fleet, one after the other; all: all of them")

// A fault is one that tests of this package find when it is put back. It replaces texts, each of which
// occurs once in the fleet.
type fault struct {
	title, tests string
	edits        [][2]string
}

// readFaults reads the list of faults, the format of which is that of internal/mutants, without files.
func readFaults(t *testing.T) (list []fault) {
	b, err := os.ReadFile("testdata/faults.txt")
	require.NoError(t, err)
	for _, text := range strings.Split(string(b), "\n# ") {
		var f fault
		f.title, text, _ = strings.Cut(strings.TrimPrefix(text, "# "), "\n")
		for {
			edit, rest, more := strings.Cut(text, ">>>>\n")
			if !more {
				f.tests = strings.TrimSpace(strings.TrimPrefix(text, "tests: "))
				break
			}
			before, after, ok := strings.Cut(strings.TrimPrefix(edit, "<<<<\n"), "====\n")
			require.True(t, ok, f.title)
			f.edits = append(f.edits, [2]string{strings.TrimSuffix(before, "\n"), strings.TrimSuffix(after, "\n")})
			text = rest
		}
		require.NotEmpty(t, f.tests, f.title)
		list = append(list, f)
	}
	return list
}

// changed returns the files that the fault changes.
func (f fault) changed(t *testing.T) map[string]string {
	files := map[string]string{}
	names, err := filepath.Glob("../../*.go")
	require.NoError(t, err)
	for _, edit := range f.edits {
		found := 0
		for _, name := range names {
			text, ok := files[name]
			if !ok {
				b, err := os.ReadFile(name)
				require.NoError(t, err)
				text = string(b)
			}
			if n := strings.Count(text, edit[0]); n > 0 {
				found += n
				files[name] = strings.Replace(text, edit[0], edit[1], 1)
			}
		}
		require.Equal(t, 1, found, "%s: how often this occurs in the fleet:\n%s", f.title, edit[0])
	}
	return files
}

// Each fault is found by its tests when it is put back. Without the flag, that it can be put back is all that
// is tested.
//
//	go test ./internal/simulation -run TestFaultsAreFound -faults all -v
func TestFaultsAreFound(t *testing.T) {
	for _, f := range readFaults(t) {
		files := f.changed(t)
		if *putBack == "" || *putBack != "all" && !strings.Contains(f.title, *putBack) {
			continue
		}
		t.Run(f.title, func(t *testing.T) {
			dir := t.TempDir()
			overlay := map[string]string{}
			for name, text := range files {
				absolute, err := filepath.Abs(name)
				require.NoError(t, err)
				overlay[absolute] = filepath.Join(dir, filepath.Base(name))
				require.NoError(t, os.WriteFile(overlay[absolute], []byte(text), 0o600))
			}
			b, err := json.Marshal(map[string]any{"Replace": overlay})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), b, 0o600))
			program := filepath.Join(dir, "simulation.test")
			out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".").CombinedOutput()
			require.NoError(t, err, "%s", out)
			out, err = exec.Command(program, "-test.failfast", "-test.timeout=5m", "-test.run=^("+f.tests+")$", "-seeds=40").CombinedOutput()
			require.Error(t, err, "no test fails")
			t.Log(reason(string(out)))
		})
	}
}

// reason returns the first lines of what was printed that say why a test has failed.
func reason(out string) string {
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, "_test.go:") && !strings.Contains(line, "schedule_test.go") || strings.HasPrefix(line, "panic:") {
			return strings.TrimSpace(line)
		}
	}
	return out
}
