package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/wechatws/wechatws/internal/release/modules"
)

// publish adds a module to the proxy, as it is in a commit or tree of the clone. The layout is that
// of "go help goproxy".
func (r *release) publish(m modules.Module, tree string) error {
	dir := filepath.Join(r.proxy, filepath.FromSlash(m.Path()), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": r.version, "Time": time.Now().UTC()})
	if err != nil {
		return err
	}
	gomod, err := os.ReadFile(filepath.Join(r.clone, m.Dir, "go.mod"))
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, r.version+".zip"))
	if err != nil {
		return err
	}
	subdir := m.Dir
	if subdir == "." {
		subdir = ""
	}
	return errors.Join(
		zip.CreateFromVCS(file, module.Version{Path: m.Path(), Version: r.version}, r.clone, tree, subdir),
		file.Close(),
		os.WriteFile(filepath.Join(dir, r.version+".mod"), gomod, 0o644),
		os.WriteFile(filepath.Join(dir, r.version+".info"), info, 0o644),
		os.WriteFile(filepath.Join(dir, "list"), []byte(r.version+"\n"), 0o644),
	)
}

// goEnv returns the environment of a Go command that finds the modules of this repository in the
// directory proxy. Its module cache is a new one in scratch, so that the user's never has these
// versions; what the user's has is not downloaded again.
func goEnv(ctx context.Context, scratch, proxy string) ([]string, error) {
	text, err := output(ctx, ".", nil, "go", "env", "-json", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GONOSUMDB")
	if err != nil {
		return nil, err
	}
	var user struct{ GOMODCACHE, GOPROXY, GOFLAGS, GONOSUMDB string }
	if err := json.Unmarshal([]byte(text), &user); err != nil {
		return nil, err
	}
	return []string{
		"GOWORK=off",
		"GOMODCACHE=" + filepath.Join(scratch, "modules"),
		"GOPROXY=" + fileURL(proxy) + "," + fileURL(filepath.Join(user.GOMODCACHE, "cache", "download")) + "," + user.GOPROXY,
		"GOPRIVATE=", "GONOPROXY=none", // of these, the proxy would not be asked
		"GONOSUMDB=" + modules.Root + "," + user.GONOSUMDB, // the checksum database has none of these versions
		// With -trimpath, packages of the last trial are found in the build cache.
		"GOFLAGS=" + user.GOFLAGS + " -trimpath -modcacherw",
	}, nil
}

// fileURL returns the URL of a directory for GOPROXY.
func fileURL(dir string) string {
	slashed := filepath.ToSlash(dir)
	if slashed[0] != '/' { // C:/…
		slashed = "/" + slashed
	}
	return (&url.URL{Scheme: "file", Path: slashed}).String()
}
