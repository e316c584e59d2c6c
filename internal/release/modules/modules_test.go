package modules

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const root = "../../.."

func TestList(t *testing.T) {
	all, err := List(root)
	require.NoError(t, err)
	for _, m := range Of(all, Private) { // a new library must be in Libraries
		require.Regexp(t, `^(bench|examples/.*|internal/.*|fleet/deploy)$`, m.Dir)
	}
	require.Equal(t, Libraries, Of(all, Library))
	require.Contains(t, all, Module{"fleet/fleetctl", Command})
	require.Contains(t, all, Module{"internal/release", Private})

	_, err = List(".")
	require.ErrorContains(t, err, "has 0 of the 5 modules")
}

// Dependabot takes no "all modules".
func TestDependabotHasEveryModuleAndPackage(t *testing.T) {
	text, err := os.ReadFile(path.Join(root, ".github/dependabot.yml"))
	require.NoError(t, err)
	var dependabot struct {
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directories []string
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &dependabot))
	updated := map[string][]string{}
	for _, update := range dependabot.Updates {
		updated[update.Ecosystem] = append(updated[update.Ecosystem], update.Directories...)
	}
	for ecosystem, file := range map[string]string{"gomod": "go.mod", "npm": "package-lock.json"} {
		var there []string
		git := exec.Command("git", "ls-files", file, "**/"+file)
		git.Dir = root
		out, err := git.Output()
		require.NoError(t, err)
		for _, name := range strings.Fields(string(out)) {
			there = append(there, path.Join("/", path.Dir(name)))
		}
		require.ElementsMatch(t, there, updated[ecosystem], ".github/dependabot.yml, "+ecosystem)
	}
}

func TestTagsAndPaths(t *testing.T) {
	root, fleetctl := Module{".", Library}, Module{"fleet/fleetctl", Command}
	require.Equal(t, Root, root.Path())
	require.Equal(t, "v0.1.0", root.Tag("v0.1.0"))
	require.Equal(t, Root+"/fleet/fleetctl", fleetctl.Path())
	require.Equal(t, "fleet/fleetctl/v0.1.0", fleetctl.Tag("v0.1.0"))
}

var uses = regexp.MustCompile(`uses: (\S+)`)

// A tag of an action can be moved to other code.
func TestActionsArePinnedByCommit(t *testing.T) {
	files, err := filepath.Glob(root + "/.github/workflows/*.yml")
	require.NoError(t, err)
	pinned := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, action := range uses.FindAllStringSubmatch(string(text), -1) {
			pinned++
			require.Regexp(t, `^\S+@[0-9a-f]{40}$`, action[1], file)
		}
	}
	require.Positive(t, pinned)
}
