package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// output runs a command in dir, and returns what it has printed, trimmed. env is added to the
// environment. The error has the command's error output.
func output(ctx context.Context, dir string, env []string, name string, arguments ...string) (string, error) {
	c := exec.CommandContext(ctx, name, arguments...)
	c.Dir = dir
	c.Env = append(os.Environ(), env...)
	var failure bytes.Buffer
	c.Stderr = &failure
	out, err := c.Output()
	if err != nil {
		err = fmt.Errorf("in %s: %s %s: %w\n%s%s", dir, name, strings.Join(arguments, " "), err, out, failure.Bytes())
	}
	return strings.TrimSpace(string(out)), err
}
