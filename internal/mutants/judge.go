package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// An outcome is what has become of a mutant.
type outcome string

const (
	killed    outcome = "killed"
	survived  outcome = "SURVIVED"
	explained outcome = "explained" // it has survived, and its list says why that is right
	invalid   outcome = "INVALID"   // it cannot be applied, or does not compile
)

// limit bounds one run of a package's tests, which take seconds. A mutant that makes them take
// longer is killed.
const limit = "3m"

// skipped are tests of the root package that are left out: those that run in real time, for 60 s
// together, and those that read the source files and not the code.
const skipped = "^(TestPacketsLost|TestLinkDown|TestDefaultRoute|TestAddressChanges|TestSuspendedProcess|" +
	"TestAnAttemptGoesOnUntilItsOwnRouteIsGone|TestDesignPage|TestComments|TestDocuments|TestEveryImport)"

// A judge runs tests against mutants.
type judge struct {
	root  string // of the module
	work  string // a folder for the programs
	race  bool
	seeds int // of the simulation; 0: the tests judge
}

// newJudge returns a judge of the module of the current folder.
func newJudge(ctx context.Context, race bool, seeds int) (*judge, error) {
	file, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "mutants")
	return &judge{filepath.Dir(strings.TrimSpace(string(file))), work, race, seeds}, err
}

func (j *judge) close() { os.RemoveAll(j.work) }

// checkTests returns an error if tests fail without a mutant: they would kill everything.
func (j *judge) checkTests(ctx context.Context, mutants []mutant) error {
	seen := map[string]bool{}
	for _, m := range mutants {
		for _, folder := range j.packages(m) {
			if seen[folder] {
				continue
			}
			seen[folder] = true
			if output, err := j.test(ctx, mutant{}, folder, ""); err != nil {
				return fmt.Errorf("without a mutant, in %s: %w: %s", folder, err, reason(output))
			}
		}
	}
	return nil
}

// packages returns the folders of the tests that judge m.
func (j *judge) packages(m mutant) []string {
	if j.seeds > 0 {
		return []string{"internal/simulation"}
	}
	return m.packages()
}

// judge returns what has become of a mutant, and which test has killed it or why it survives.
func (j *judge) judge(ctx context.Context, m mutant) (what outcome, why string) {
	dir, err := os.MkdirTemp(j.work, "")
	if err != nil {
		return invalid, err.Error()
	}
	defer os.RemoveAll(dir)
	overlay, err := j.overlay(m, dir)
	if err != nil {
		return invalid, err.Error()
	}
	for _, folder := range j.packages(m) {
		switch output, err := j.test(ctx, m, folder, overlay); {
		case errors.Is(err, errBuild):
			return invalid, "does not compile: " + output
		case err != nil:
			return killed, reason(output)
		}
	}
	if m.explained != "" {
		return explained, m.explained
	}
	return survived, "no test fails"
}

// overlay writes the changed files to dir, and the file for the go command that names them.
func (j *judge) overlay(m mutant, dir string) (name string, err error) {
	files, err := m.changed(j.root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range files {
		to := filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(j.root, filepath.FromSlash(file))] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name = filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, b, 0o600)
}

var errBuild = errors.New("does not compile")

// test builds the tests of a folder and runs them. With an error it also returns what was printed.
func (j *judge) test(ctx context.Context, m mutant, folder, overlay string) (output string, err error) {
	program, err := os.CreateTemp(j.work, "*.test")
	if err != nil {
		return "", err
	}
	program.Close()
	defer os.Remove(program.Name())
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay="+overlay,
		"-race="+strconv.FormatBool(j.race), "-o="+program.Name(), "./"+folder)
	build.Dir = j.root
	if b, err := build.CombinedOutput(); err != nil {
		return string(b), errBuild
	}
	test := exec.CommandContext(ctx, program.Name(), j.arguments(m, folder)...)
	test.Dir = filepath.Join(j.root, filepath.FromSlash(folder))
	b, err := test.CombinedOutput()
	return string(b), err
}

// arguments are those of a test program.
func (j *judge) arguments(m mutant, folder string) []string {
	common := []string{"-test.failfast", "-test.timeout=" + limit}
	switch {
	case j.seeds > 0:
		return []string{"-test.run=^TestSeeds$", "-test.timeout=1h", "-seeds=1-" + strconv.Itoa(j.seeds)}
	case m.tests != "":
		return append(common, "-test.run=^("+m.tests+")$")
	case folder == ".":
		return append(common, "-test.short", "-test.skip="+skipped)
	}
	return append(common, "-test.short")
}

var (
	failed = regexp.MustCompile(`--- FAIL: (\S+)`)
	seed   = regexp.MustCompile(`\bseed[ =:]*(\d+)`)
	fatal  = regexp.MustCompile(`(?m)^(?:panic|fatal error|goleak): .*`)
)

// reason returns the first cause in what a test program that failed has printed.
func reason(output string) string {
	if found := seed.FindStringSubmatch(output); found != nil {
		return "seed " + found[1]
	}
	if found := failed.FindStringSubmatch(output); found != nil {
		return found[1]
	}
	if found := fatal.FindString(output); found != "" {
		return found
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return lines[len(lines)-1]
}
