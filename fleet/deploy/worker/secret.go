package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/wechatws/wechatws/fleet"
)

// secret looks up a reference of a room: credential:NAME is a file in the folder that
// $CREDENTIALS_DIRECTORY names (systemd sets it, and so does the Deployment), env:LIVE_… an environment
// variable. Other files and variables are not permitted: a program that adds rooms could have each of
// them sent to an endpoint of its own.
func secret(ctx context.Context, ref string) (string, error) {
	kind, name, _ := strings.Cut(ref, ":")
	switch {
	case kind == "env":
		return fleet.LookUpSecret("env:LIVE_*")(ctx, ref)
	case kind != "credential":
		return "", errors.New("the reference must be of the form credential:NAME or env:LIVE_…")
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", errors.New("CREDENTIALS_DIRECTORY is not set")
	}
	root, err := os.OpenRoot(dir) // no name leads out of it
	if err != nil {
		return "", err
	}
	defer root.Close()
	text, err := root.ReadFile(name)
	return strings.TrimSuffix(string(text), "\n"), err
}
