// Package modules lists the modules of this repository, and which of them users get.
package modules

import (
	"fmt"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// Root is the path of the root module, and the beginning of the paths of all others.
const Root = "github.com/wechatws/wechatws"

// A Kind is what a module is for.
type Kind int

const (
	// Private modules are never released: programs to look at, and tests.
	Private Kind = iota
	// Library modules are released, and their API is compared with api/.
	Library
	// Command modules are released, and have a command in their directory.
	Command
)

// A Module is one of the modules of this repository.
type Module struct {
	Dir  string // slash-separated, relative to the root of the repository; "." for the root module
	Kind Kind
}

// Libraries are the released modules that programs import. Each follows those that it requires.
var Libraries = []Module{
	{".", Library},
	{"metrics/wsprom", Library},
	{"metrics/wsotel", Library},
	{"fleet", Library},
	{"fleet/fleetprom", Library},
}

// isCommand reports whether the module in dir is a released command.
func isCommand(dir string) bool { return path.Dir(dir) == "cmd" || dir == "fleet/fleetctl" }

// List returns the modules of the repository at root: the libraries, the commands, and all others,
// which are private.
func List(root string) ([]Module, error) {
	git := exec.Command("git", "ls-files", "-co", "--exclude-standard", "--deduplicate", "go.mod", "**/go.mod")
	git.Dir = root
	out, err := git.Output()
	if err != nil {
		return nil, fmt.Errorf("in %s: %s: %w", root, git, err)
	}
	var commands, private []Module
	libraries := 0
	for _, file := range strings.Fields(string(out)) {
		dir := path.Dir(file)
		switch {
		case slices.Contains(Libraries, Module{dir, Library}):
			libraries++
		case isCommand(dir):
			commands = append(commands, Module{dir, Command})
		default:
			private = append(private, Module{dir, Private})
		}
	}
	if libraries != len(Libraries) {
		return nil, fmt.Errorf("%s has %d of the %d modules of modules.Libraries", root, libraries, len(Libraries))
	}
	return slices.Concat(Libraries, commands, private), nil
}

// Path returns the path by which a module is required.
func (m Module) Path() string { return path.Join(Root, m.Dir) }

// Tag returns the Git tag of a version of m.
func (m Module) Tag(version string) string { return path.Join(m.Dir, version) }

// Of returns the modules of the given kinds, in the order of all.
func Of(all []Module, kinds ...Kind) []Module {
	return slices.DeleteFunc(slices.Clone(all), func(m Module) bool { return !slices.Contains(kinds, m.Kind) })
}
