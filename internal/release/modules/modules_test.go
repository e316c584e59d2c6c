package modules

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const root = "../../.."

func TestList(t *testing.T) {
	all, err := List(root)
	require.NoError(t, err)
	require.Equal(t, Libraries, Of(all, Library))
	require.Contains(t, all, Module{"fleet/fleetctl", Command})
	require.Contains(t, all, Module{"internal/release", Private})

	_, err = List(".")
	require.ErrorContains(t, err, "has 0 of the 5 modules")
}

// Dependabot takes no "all modules".
func TestDependabotHasEveryModule(t *testing.T) {
	text, err := os.ReadFile(path.Join(root, ".github/dependabot.yml"))
	require.NoError(t, err)
	var dependabot struct {
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directories []string
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &dependabot))
	var updated, there []string
	for _, update := range dependabot.Updates {
		if update.Ecosystem == "gomod" {
			updated = append(updated, update.Directories...)
		}
	}
	all, err := List(root)
	require.NoError(t, err)
	for _, m := range all {
		there = append(there, path.Join("/", m.Dir))
	}
	require.ElementsMatch(t, there, updated, ".github/dependabot.yml")
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
