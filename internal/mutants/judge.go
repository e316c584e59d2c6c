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
const skipped = "^(TestPacketsLost|TestLinkDown|TestDefaultRoute|TestAddressChanges|TestSuspendedProcess|TestUploadsOnASlowLink|" +
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
			if output, err := j.test(ctx, folder, "", j.work, ""); err != nil {
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
	for _, names := range m.rounds() {
		for _, folder := range j.packages(m) {
			switch output, err := j.test(ctx, folder, names, dir, overlay); {
			case errors.Is(err, errBuild):
				return invalid, "does not compile: " + output
			case err != nil:
				return killed, reason(output)
			}
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

// test builds the tests of a folder into dir, unless they are there, and runs those with these
// names. With an error it also returns what was printed.
func (j *judge) test(ctx context.Context, folder, names, dir, overlay string) (output string, err error) {
	program := filepath.Join(dir, strings.ReplaceAll(folder, "/", "-")+".test")
	if _, err := os.Stat(program); err != nil {
		if output, err := j.build(ctx, folder, program, overlay); err != nil {
			return output, err
		}
	}
	test := exec.CommandContext(ctx, program, j.arguments(folder, names)...)
	test.Dir = filepath.Join(j.root, filepath.FromSlash(folder))
	b, err := test.CombinedOutput()
	return string(b), err
}

func (j *judge) build(ctx context.Context, folder, program, overlay string) (output string, err error) {
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay="+overlay,
		"-race="+strconv.FormatBool(j.race), "-o="+program, "./"+folder)
	build.Dir = j.root
	if b, err := build.CombinedOutput(); err != nil {
		return string(b), errBuild
	}
	return "", nil
}

// arguments are those of a test program. Without names they are those of all tests.
func (j *judge) arguments(folder, names string) []string {
	if j.seeds > 0 {
		return []string{"-test.run=^TestSeeds$", "-test.timeout=1h", "-seeds=1-" + strconv.Itoa(j.seeds)}
	}
	arguments := []string{"-test.failfast", "-test.timeout=" + limit}
	if names != "" { // also in real time
		return append(arguments, "-test.run=^("+names+")$")
	}
	arguments = append(arguments, "-test.short")
	if folder == "." {
		arguments = append(arguments, "-test.skip="+skipped)
	}
	return arguments
}

var (
	failed = regexp.MustCompile(`--- FAIL: (\S+)`)
	seed   = regexp.MustCompile(`\bseed[ =:]*(\d+)`)
	late   = regexp.MustCompile(`panic: test timed out after \S+(?s:\s+running tests:\s+(\S+))?`)
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
	if found := late.FindStringSubmatch(output); found != nil {
		return "timeout " + found[1]
	}
	if found := fatal.FindString(output); found != "" {
		return found
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return lines[len(lines)-1]
}
