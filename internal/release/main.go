// Release makes the commits and the tags of a version of all modules that users get. It works in
// a clone, tries the result as a user would who has only the Go command, and prints the command
// that pushes it. It never pushes. docs/releasing.md has the steps before and after.
//
//	go run -C internal/release . v0.1.0   # check, tag in a clone, try
//	go run -C internal/release . -trial   # only try, with the working tree as it is; CI does
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/wechatws/wechatws/internal/release/modules"
)

// trialVersion is older than any version that is released.
const trialVersion = "v0.0.0-trial"

func main() {
	trial := flag.Bool("trial", false, "only try the working tree as a release, and keep nothing")
	ci := flag.String("ci", "", "the `address` of the run of CI that has passed for this commit (default: here, by .ci/run)")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "Usage: go run -C internal/release . [-ci address] v1.2.3\n       go run -C internal/release . -trial\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *trial != (flag.NArg() == 0) || flag.NArg() > 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, flag.Arg(0), *ci)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// run releases a version of the repository of the working directory, or tries it if version is "".
func run(ctx context.Context, out io.Writer, version, ci string) (err error) {
	root, err := output(ctx, ".", nil, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	all, err := modules.List(root)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "wechatws-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	clone := filepath.Join(scratch, "clone")
	trial := version == ""
	if trial {
		version, ci = trialVersion, "none"
	} else {
		if ci, err = check(ctx, out, root, version, ci, all); err != nil {
			return err
		}
		if clone, err = os.MkdirTemp("", "wechatws-"+version+"-"); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				os.RemoveAll(clone)
			}
		}()
	}
	r := &release{clone: clone, version: version, proxy: filepath.Join(scratch, "proxy"), out: out}
	if r.env, err = goEnv(ctx, scratch, r.proxy); err != nil {
		return err
	}
	started := time.Now()
	if err := r.makeClone(ctx, root, trial); err != nil {
		return err
	}
	if err := r.tag(ctx, all, ci); err != nil {
		return err
	}
	fmt.Fprintf(out, "tagged in %s (%.0f s)\n", clone, time.Since(started).Seconds())
	started = time.Now()
	if err := r.try(ctx, filepath.Join(scratch, "stranger"), all); err != nil {
		return err
	}
	fmt.Fprintf(out, "tried as a user would (%.0f s)\n", time.Since(started).Seconds())
	if trial {
		return nil
	}
	fmt.Fprintf(out, "\nNothing is pushed yet. To release %s:\n\n%s\n\nThen \"git pull\" brings the commits and the tags here, and %s can be deleted.\n", version, r.pushCommand(all), clone)
	return nil
}

// pushCommand returns the command that releases what the clone has: all of it, or nothing.
func (r *release) pushCommand(all []modules.Module) string {
	refs := []string{"HEAD:main"}
	for _, m := range modules.Of(all, modules.Library, modules.Command) {
		refs = append(refs, m.Tag(r.version))
	}
	quoted := "'" + strings.ReplaceAll(r.clone, "'", `'\''`) + "'"
	return fmt.Sprintf("git -C %s push --atomic origin \\\n    %s", quoted, strings.Join(refs, " \\\n    "))
}
