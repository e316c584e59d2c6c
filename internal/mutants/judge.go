package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// limit bounds one run of tests, which take seconds. A mutant that makes them take longer is killed.
const limit = "3m"

// skipped are tests of the root package that are left out: those that run in real time, for 60 s
// together, and those that read the source files and not the code.
const skipped = "^(TestPacketsLost|TestLinkDown|TestDefaultRoute|TestAddressChanges|TestSuspendedProcess|TestUploadsOnASlowLink|" +
	"TestAnAttemptGoesOnUntilItsOwnRouteIsGone|TestDesignPage|TestComments|TestDocuments|TestEveryImport)"

// slow are the tests of the root package that take as long as all others. They run last.
const slow = "TestNoCallStopsTheReader|TestAWaitEndsOnlyForChangesOfTheRouteToTheServer|TestABackOffAtItsExtremes|" +
	"TestNothingCountsAsWrittenBehindTheCloseFrame|TestChangesWithoutEndAreNoLoop|TestEveryNumberAtItsExtremes|" +
	"TestRetryAfterIsSpreadOverAFleet|TestStatsCountWhyConnectionsEnded"

// A judge runs tests against mutants.
type judge struct {
	root  string // of the module
	work  string // a folder for the programs
	race  bool
	seeds int          // of the simulation; 0: the tests judge
	woven map[int]bool // the numbers of the mutants that the programs in work contain
}

// newJudge returns a judge of the module of the current folder.
func newJudge(ctx context.Context, race bool, seeds int) (*judge, error) {
	file, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "mutants")
	return &judge{filepath.Dir(strings.TrimSpace(string(file))), work, race, seeds, nil}, err
}

func (j *judge) close() { os.RemoveAll(j.work) }

// weave builds the programs with all mutants that can be woven and compile, and runs them without
// a mutant. It returns an error if tests fail: they would kill everything.
func (j *judge) weave(ctx context.Context, mutants []mutant) error {
	var folders []string
	for _, m := range mutants {
		for _, folder := range j.packages(m) {
			if !slices.Contains(folders, folder) {
				folders = append(folders, folder)
			}
		}
	}
	wrong := map[int]bool{}
	for {
		w := weave{}
		j.woven = map[int]bool{}
		for _, m := range mutants {
			j.woven[m.number] = !wrong[m.number] && w.add(m, j.root)
		}
		overlay, err := j.overlay(w.contents(), j.work)
		if err != nil {
			return err
		}
		output, err := j.build(ctx, folders, j.work, overlay)
		if err == nil {
			break
		}
		found := culprits(output)
		if len(found) == 0 {
			return fmt.Errorf("%w: %s", err, output)
		}
		maps.Copy(wrong, found)
	}
	for _, folder := range folders {
		if output, err := j.run(ctx, folder, "", j.work, 0); err != nil {
			return fmt.Errorf("without a mutant, in %s: %w: %s", folder, err, reason(output))
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
	dir := j.work
	if !j.woven[m.number] {
		var err error
		if dir, err = j.compile(ctx, m); err != nil {
			return invalid, err.Error()
		}
		defer os.RemoveAll(dir)
	}
	for _, names := range j.rounds(m) {
		for _, folder := range j.packages(m) {
			output, err := j.run(ctx, folder, names, dir, m.number)
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				return killed, reason(output)
			} else if err != nil {
				return invalid, err.Error()
			}
		}
	}
	if m.explained != "" {
		return explained, m.explained
	}
	return survived, "no test fails"
}

// compile builds the tests for one mutant into a folder of its own.
func (j *judge) compile(ctx context.Context, m mutant) (dir string, err error) {
	files, err := m.changed(j.root)
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp(j.work, ""); err != nil {
		return "", err
	}
	overlay, err := j.overlay(files, dir)
	if err != nil {
		return "", err
	}
	if output, err := j.build(ctx, j.packages(m), dir, overlay); err != nil {
		return "", fmt.Errorf("%w: %s", err, output)
	}
	return dir, nil
}

// overlay writes files to dir, and the file for the go command that names them.
func (j *judge) overlay(files map[string]string, dir string) (name string, err error) {
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

// program returns the name of the tests of a folder in dir.
func program(dir, folder string) string {
	return filepath.Join(dir, strings.ReplaceAll(folder, "/", "-")+".test")
}

// build builds the tests of folders into dir. With an error it also returns what was printed.
func (j *judge) build(ctx context.Context, folders []string, dir, overlay string) (output string, err error) {
	for _, folder := range folders {
		build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-e", "-ldflags=-s -w", "-overlay="+overlay,
			"-race="+strconv.FormatBool(j.race), "-o="+program(dir, folder), "./"+folder)
		build.Dir = j.root
		if b, err := build.CombinedOutput(); err != nil {
			return string(b), errors.New("does not compile")
		}
	}
	return "", nil
}

// run runs those tests of a folder with these names, as a mutant. With an error it also returns
// what was printed.
func (j *judge) run(ctx context.Context, folder, names, dir string, number int) (output string, err error) {
	test := exec.CommandContext(ctx, program(dir, folder), j.arguments(folder, names)...)
	test.Dir = filepath.Join(j.root, filepath.FromSlash(folder))
	test.Env = append(os.Environ(), chosen+"="+strconv.Itoa(number))
	b, err := test.CombinedOutput()
	return string(b), err
}

// rounds returns the names of the tests that run one after the other. The empty name stands for all
// tests that are not slow.
func (j *judge) rounds(m mutant) (all []string) {
	if m.tests != "" && j.seeds == 0 {
		all = append(all, m.tests)
	}
	if all = append(all, ""); j.seeds == 0 {
		all = append(all, slow)
	}
	return all
}

// arguments are those of a test program. Without names they are those of all tests.
func (j *judge) arguments(folder, names string) []string {
	if j.seeds > 0 {
		// In one process the seeds run in order, so that the first one that fails is found.
		return []string{"-test.run=^TestSeeds$", "-test.timeout=1h", "-processes=1", "-shrink=false", "-seeds=1-" + strconv.Itoa(j.seeds)}
	}
	arguments := []string{"-test.failfast", "-test.timeout=" + limit}
	if names != "" { // also in real time
		return append(arguments, "-test.run=^("+names+")$")
	}
	arguments = append(arguments, "-test.short")
	if folder == "." {
		arguments = append(arguments, "-test.skip="+skipped+"|"+slow)
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
