package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const example = `package a

const c = 1

func (t *T) Add(n int, more ...string) (int, error) {
	n++
	return n, nil
}

func Do[K any](k K) {
	use(k)
}

func unused(int) {
	x()
}
`

func TestWeave(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "a.go"), []byte(example), 0o600))
	w := weave{}
	add := func(number int, before, after string) bool {
		return w.add(mutant{number: number, edits: []edit{{"a.go", before, after}}}, root)
	}
	assert.True(t, add(1, "\tn++\n", ""))
	assert.True(t, add(2, "\tn++\n", "\tn += 2\n"))
	assert.True(t, add(3, "\tuse(k)\n", ""))
	assert.False(t, add(4, "const c = 1\n", "const c = 2\n"))
	assert.False(t, add(5, "\tx()\n", ""), "there is no name for the parameter")
	assert.False(t, add(6, "func Do[K any](k K) {\n", "func Do[K int](k K) {\n"))
	assert.False(t, add(7, "\tn++\n", "}\nfunc x() {\n"), "another function")
	assert.False(t, add(8, "nothing\n", ""))
	assert.Equal(t, map[string]string{
		"a.go": `package a

const c = 1

func (t *T) Add(n int, more ...string) (int, error) { if mutant == 1 { return t.mutant1Add(n, more...) }; if mutant == 2 { return t.mutant2Add(n, more...) };
	n++
	return n, nil
}

func Do[K any](k K) { if mutant == 3 { mutant3Do[K](k); return };
	use(k)
}

func unused(int) {
	x()
}

//line mutant1.go:5
func (t *T) mutant1Add(n int, more ...string) (int, error) {

	return n, nil
}

//line mutant2.go:5
func (t *T) mutant2Add(n int, more ...string) (int, error) {
	n += 2
	return n, nil
}

//line mutant3.go:10
func mutant3Do[K any](k K) {

}
`,
		"mutant.go": "package a\n\nimport (\n\t\"os\"\n\t\"strconv\"\n)\n\nvar mutant, _ = strconv.Atoi(os.Getenv(\"MUTANT\"))\n",
	}, w.contents())
}

func TestCulprits(t *testing.T) {
	assert.Equal(t, map[int]bool{3: true, 12: true},
		culprits("./mutant3.go:5:2: declared and not used: x\n./mutant12.go:7:1: missing return\n./conn.go:1:1: x\n"))
}
