package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// A build is what the program knows of its own build.
type build struct {
	Version  string `json:"version"`            // of the module, (devel) in a working tree
	Revision string `json:"revision,omitempty"` // of the repository
	Modified bool   `json:"modified,omitempty"` // the working tree had changes
	Library  string `json:"library"`            // the version of the library
	Go       string `json:"go"`
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "show the version of the command and of the library",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			b := thisBuild()
			if asJSON(c) {
				return writeJSON(c.OutOrStdout(), b)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "wechatws %s, library %s, %s\n", b.shown(), b.Library, b.Go)
			return err
		},
	}
}

func (b build) shown() string {
	switch {
	case b.Revision == "":
		return b.Version
	case b.Modified:
		return fmt.Sprintf("%s (%.12s, with changes)", b.Version, b.Revision)
	}
	return fmt.Sprintf("%s (%.12s)", b.Version, b.Revision)
}

// thisBuild reads the build information that the go command puts into the program.
func thisBuild() build {
	b := build{Version: "(unknown)", Library: "(unknown)"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version, b.Go = info.Main.Version, info.GoVersion
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/wechatws/wechatws" {
			b.Library = m.Version
			if m.Replace != nil {
				b.Library = "(devel)" // of the same working tree
			}
		}
	}
	return b
}
