package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The lists must not rot: code that has moved on makes a mutant invalid.
func TestEveryMutantCanBeApplied(t *testing.T) {
	mutants, err := readLists()
	require.NoError(t, err)
	titles := map[string]bool{}
	for _, m := range mutants {
		assert.NotEmpty(t, m.edits, m.title)
		assert.False(t, titles[m.title], "two mutants %q", m.title)
		titles[m.title] = true
		for _, e := range m.edits {
			assert.NotEqual(t, e.before, e.after, m.title)
		}
		_, err := m.changed("../..")
		assert.NoError(t, err, m.title)
	}
}

func TestParse(t *testing.T) {
	list, err := parse("# one\na.go\n<<<<\n\tx\n====\n\ty\n\tz\n>>>>\nb/c.go\n<<<<\n\tx\n====\n>>>>\ntests: TestA|TestB\n\n" +
		"# two\na.go\n<<<<\n# no title\n====\n>>>>\nexplained: slower\n")
	require.NoError(t, err)
	assert.Equal(t, []mutant{
		{title: "one", edits: []edit{{"a.go", "\tx\n", "\ty\n\tz\n"}, {"b/c.go", "\tx\n", ""}}, tests: "TestA|TestB"},
		{title: "two", edits: []edit{{"a.go", "# no title\n", ""}}, explained: "slower"},
	}, list)
	assert.Equal(t, []string{"b", "."}, list[0].packages())
	assert.Equal(t, []string{"TestA|TestB", "", slow}, new(judge).rounds(list[0]))
	assert.Equal(t, []string{"", slow}, new(judge).rounds(list[1]))
	assert.Equal(t, []string{""}, (&judge{seeds: 1}).rounds(list[0]))
	for _, wrong := range []string{"a.go\n", "# one\na.go\n<<<<\nx\n>>>>\n", "# one\na.go\n<<<<\nx\n====\ny\n"} {
		_, err := parse(wrong)
		assert.Error(t, err, wrong)
	}
}

func TestReason(t *testing.T) {
	for output, want := range map[string]string{
		"--- FAIL: TestA (0.1s)\n    --- FAIL: TestA/b (0.1s)\nFAIL\n":           "TestA",
		"panic: test timed out after 3m0s\n\trunning tests:\n\t\tTestA (3m0s)\n": "timeout TestA",
		"panic: deadlock\n\ngoroutine 1\n":                                       "panic: deadlock",
		"x_test.go:1: seed 12: two fates\n--- FAIL: TestSeeds\n":                 "seed 12",
		"goleak: Errors on successful test run: x\n":                             "goleak: Errors on successful test run: x",
		"exit\n": "exit",
	} {
		assert.Equal(t, want, reason(output))
	}
}
