package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCIHere(t *testing.T) {
	root, _ := repository(t)
	head := git(t, root, "rev-parse", "HEAD")
	_, err := checkCI(t.Context(), root, "", githubAPI)
	require.ErrorContains(t, err, "CI has not passed for "+head+" here")

	file := filepath.Join(root, ".git", "ci-passed")
	for written, want := range map[string]string{
		head + "\n": "passed by .ci/run",
		head + "\ngolangci-lint (not installed)\ngovulncheck (no database)\n": "passed by .ci/run, without golangci-lint (not installed), govulncheck (no database)",
	} {
		require.NoError(t, os.WriteFile(file, []byte(written), 0o644))
		got, err := checkCI(t.Context(), root, "", githubAPI)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}

	write(t, root, "new.go", "package wechatws\n")
	commit(t, root)
	_, err = checkCI(t.Context(), root, "", githubAPI)
	require.ErrorContains(t, err, "CI has not passed", "for another commit")
}

func TestCIOnGitHub(t *testing.T) {
	root, _ := repository(t)
	head := git(t, root, "rev-parse", "HEAD")
	for name, tt := range map[string]struct {
		status int
		body   string
		want   string // "" for no error
	}{
		"passed":           {200, `{"head_sha": "` + head + `", "path": ".github/workflows/ci.yml", "conclusion": "success"}`, ""},
		"failed":           {200, `{"head_sha": "` + head + `", "path": ".github/workflows/ci.yml", "conclusion": "failure"}`, `the conclusion "failure"`},
		"not ended":        {200, `{"head_sha": "` + head + `", "path": ".github/workflows/ci.yml", "conclusion": null}`, `the conclusion ""`},
		"another commit":   {200, `{"head_sha": "0123abc", "path": ".github/workflows/ci.yml", "conclusion": "success"}`, "for commit 0123abc, and HEAD is " + head},
		"another workflow": {200, `{"head_sha": "` + head + `", "path": ".github/workflows/pages.yml", "conclusion": "success"}`, "of .github/workflows/pages.yml"},
		"no such run":      {404, `{"message": "Not Found"}`, "404 Not Found"},
		"no JSON":          {200, `<html>`, "cannot be checked"},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /repos/wechatws/wechatws/actions/runs/17", func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			})
			api := httptest.NewServer(mux)
			defer api.Close()
			const run = "https://github.com/wechatws/wechatws/actions/runs/17"
			got, err := checkCI(t.Context(), root, run, api.URL)
			requireError(t, err, tt.want)
			require.Equal(t, run, got)
		})
	}

	_, err := checkCI(t.Context(), root, "https://github.com/wechatws/wechatws/actions/runs/17", "http://127.0.0.1:1")
	require.ErrorContains(t, err, "the run of -ci cannot be checked")
}

func TestCIElsewhere(t *testing.T) {
	root, _ := repository(t)
	at := "https://ci.example.com/" + git(t, root, "rev-parse", "HEAD")
	got, err := checkCI(t.Context(), root, at, githubAPI)
	require.NoError(t, err)
	require.Equal(t, at, got)
	_, err = checkCI(t.Context(), root, "https://ci.example.com/runs/1", githubAPI)
	require.ErrorContains(t, err, "nor an address that contains the commit")
}
