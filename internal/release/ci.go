package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
)

const (
	githubAPI = "https://api.github.com"
	workflow  = ".github/workflows/ci.yml"
)

// runOnGitHub matches the address of a run: its repository and its number.
var runOnGitHub = regexp.MustCompile(`^https://github\.com/([\w.-]+/[\w.-]+)/actions/runs/(\d+)`)

// checkCI requires that CI has passed for HEAD of the repository at root, and returns what the tags' messages
// say about it. at is the address of a run, or "" for .ci/run here.
func checkCI(ctx context.Context, root, at, api string) (string, error) {
	head, err := output(ctx, root, nil, "git", "rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	if at == "" {
		return passedHere(ctx, root, head)
	}
	if run := runOnGitHub.FindStringSubmatch(at); run != nil {
		return at, passedOnGitHub(ctx, fmt.Sprintf("%s/repos/%s/actions/runs/%s", api, run[1], run[2]), head)
	}
	if !strings.Contains(at, head) {
		return "", fmt.Errorf("-ci %s is neither https://github.com/…/actions/runs/… nor an address that contains the commit %s", at, head)
	}
	return at, nil
}

// passedHere reads the file that .ci/run writes: the commit, and a line for each check that was skipped.
func passedHere(ctx context.Context, root, head string) (string, error) {
	name, err := output(ctx, root, nil, "git", "rev-parse", "--path-format=absolute", "--git-path", "ci-passed")
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(name)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err != nil || lines[0] != head {
		return "", fmt.Errorf("CI has not passed for %s here: run \"bash .ci/run\" with a clean tree, or name a run elsewhere with -ci", head)
	}
	passed := "passed by .ci/run"
	if len(lines) > 1 {
		passed += ", without " + strings.Join(lines[1:], ", ")
	}
	return passed, nil
}

// passedOnGitHub requests a run from the API of GitHub, which needs no login for a public repository.
func passedOnGitHub(ctx context.Context, url, head string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("the run of -ci cannot be checked: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the run of -ci cannot be checked: %s: %s", url, response.Status)
	}
	var run struct {
		Head       string `json:"head_sha"`
		Path       string // of the workflow
		Conclusion string // "" until the run has ended
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&run); err != nil {
		return fmt.Errorf("the run of -ci cannot be checked: %s: %w", url, err)
	}
	switch {
	case run.Head != head:
		return fmt.Errorf("the run of -ci was for commit %s, and HEAD is %s", run.Head, head)
	case run.Path != workflow:
		return fmt.Errorf("the run of -ci was of %s, and not of %s", run.Path, workflow)
	case run.Conclusion != "success":
		return fmt.Errorf("the run of -ci has the conclusion %q, and not \"success\"", run.Conclusion)
	}
	return nil
}
