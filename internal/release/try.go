package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/wechatws/wechatws/internal/release/modules"
)

// runTimeout is for one program of a page, which ends by itself.
const runTimeout = time.Minute

// try is a user's first minutes, in the new directory dir: require the libraries, install the commands,
// build the programs of the pages, and run those that bring their own server.
func (r *release) try(ctx context.Context, dir string, all []modules.Module) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	command := func(arguments ...string) error {
		fmt.Fprintf(r.out, "go %s\n", strings.Join(arguments, " "))
		_, err := output(ctx, dir, append(r.env, "GOBIN="+bin), "go", arguments...)
		return err
	}
	if err := command("mod", "init", "example.com/stranger"); err != nil {
		return err
	}
	build := []string{"build"}
	for _, m := range modules.Of(all, modules.Library) {
		if err := command("get", m.Path()); err != nil {
			return err
		}
		build = append(build, m.Path())
	}
	if err := command(build...); err != nil {
		return err
	}
	for _, m := range modules.Of(all, modules.Command) {
		if err := command("install", m.Path()+"@latest"); err != nil {
			return err
		}
		program := filepath.Join(bin, path.Base(m.Dir)+exe)
		if _, err := output(ctx, dir, nil, program, "--help"); err != nil {
			return err
		}
	}
	return r.tryPrograms(ctx, dir, command)
}

// pages have whole programs to copy.
var pages = []string{"README.md", "docs/getting-started.md"}

func (r *release) tryPrograms(ctx context.Context, dir string, command func(...string) error) error {
	var all []program
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(r.clone, page))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		all = append(all, programs(page, string(text))...)
	}
	for _, p := range all {
		if err := os.Mkdir(filepath.Join(dir, p.folder), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, p.folder, "main.go"), []byte(p.code), 0o644); err != nil {
			return err
		}
	}
	if err := command("mod", "tidy"); err != nil {
		return err
	}
	complete := 0
	for _, p := range all {
		binary := filepath.Join("bin", p.folder+exe)
		if err := command("build", "-o", binary, "./"+p.folder); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if !p.hasServer() {
			continue
		}
		complete++
		ctx, cancel := context.WithTimeout(ctx, runTimeout)
		printed, err := output(ctx, dir, nil, filepath.Join(dir, binary))
		cancel()
		if err != nil {
			return fmt.Errorf("%s does not end by itself within %v without an error: %w", p.name, runTimeout, err)
		}
		fmt.Fprintf(r.out, "%s prints:\n%s\n", p.name, printed)
	}
	if complete == 0 {
		return fmt.Errorf("no program of %s brings its own server (of package liveroomtest or wstest), so none was run", strings.Join(pages, " and "))
	}
	return nil
}

// A program is a block of a page that can be saved as main.go.
type program struct{ name, folder, code string }

var block = regexp.MustCompile("(?ms)^```go\n(package main\n.*?)^```$")

// programs returns the blocks of a page that are whole programs, and no tests of one.
func programs(page, text string) (all []program) {
	base := strings.ToLower(strings.TrimSuffix(path.Base(page), ".md"))
	for _, found := range block.FindAllStringSubmatch(strings.ReplaceAll(text, "\r\n", "\n"), -1) {
		if n := len(all) + 1; strings.Contains(found[1], "\nfunc main() {") {
			all = append(all, program{fmt.Sprintf("program %d of %s", n, page), fmt.Sprintf("%s%d", base, n), found[1]})
		}
	}
	return all
}

// hasServer reports whether a program has something to connect to, so that it can be run.
func (p program) hasServer() bool {
	return strings.Contains(p.code, modules.Root+"/liveroom/liveroomtest\"") || strings.Contains(p.code, modules.Root+"/wstest\"")
}

// exe is the ending of programs' file names.
var exe = map[bool]string{true: ".exe"}[runtime.GOOS == "windows"]
