// Package faults has tests that put faults back into the code and run tests that must find them.
package faults

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A fault replaces texts, each of which occurs once in the code, so that tests fail.
type fault struct {
	title, tests string
	edits        [][2]string
}

// read reads a list of faults, the format of which is that of internal/mutants, without files.
func read(t *testing.T, file string) (list []fault) {
	b, err := os.ReadFile(file)
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

// changed returns those of the source files that the fault changes.
func (f fault) changed(t *testing.T, sources string) map[string]string {
	files := map[string]string{}
	names, err := filepath.Glob(sources)
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
		require.Equal(t, 1, found, "%s: how often this occurs in the code:\n%s", f.title, edit[0])
	}
	return files
}

// AreFound tests that each fault listed in a file can be put back into the source files, which match a pattern.
// For those whose titles contain which, or all of them if it is all, it also runs the tests of the caller's package
// that are named with the fault, with the arguments: one of them must fail.
func AreFound(t *testing.T, file, sources, which string, arguments ...string) {
	for _, f := range read(t, file) {
		files := f.changed(t, sources)
		if which == "" || which != "all" && !strings.Contains(f.title, which) {
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
			program := filepath.Join(dir, "faults.test")
			out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".").CombinedOutput()
			require.NoError(t, err, "%s", out)
			out, err = exec.Command(program, append([]string{"-test.failfast", "-test.timeout=5m", "-test.run=^" + strings.ReplaceAll(f.tests, "/", "$/^") + "$"}, arguments...)...).CombinedOutput()
			require.Error(t, err, "no test fails")
			require.Regexp(t, "--- FAIL|panic: ", string(out))
			t.Log(reason(string(out)))
		})
	}
}

// reason returns the first line of what was printed that says why a test has failed.
func reason(out string) string {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		_, said, ok := strings.Cut(line, "_test.go:")
		_, said, _ = strings.Cut(said, ":") // behind the number of the line
		if ok && said != "" && !strings.Contains(line, "schedule_test.go") || strings.HasPrefix(line, "Error:") || strings.HasPrefix(line, "panic:") {
			return line
		}
	}
	return out
}
