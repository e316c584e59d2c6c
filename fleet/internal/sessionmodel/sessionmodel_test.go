package sessionmodel

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the counterexamples to testdata")

var (
	one     = World{Keys: 1, T: 4, M: 2, D: 1, Within: 2}
	two     = World{Keys: 2, T: 4, M: 2, D: 1, Within: 2}
	twoFine = World{Keys: 2, T: 8, M: 4, D: 2, Within: 4}
	three   = World{Keys: 3, T: 4, M: 2, D: 1, Within: 2}

	manyFirst = World{Keys: 2, T: 4, M: 2, D: 1, Within: 2, ManyFirst: true}
)

func TestProtocolIsSafe(t *testing.T) {
	for _, c := range []struct {
		name     string
		world    World
		mistakes Mistakes
	}{
		{"one key", one, Mistakes{}},
		{"two keys", two, Mistakes{}},
		{"two keys, finer ticks", twoFine, Mistakes{}},
		{"three keys", three, Mistakes{}},
		{"two keys, several first puts", manyFirst, Mistakes{}},

		// Compare-and-set is not what the end of a session rests on.
		{"renewals are just put", two, Mistakes{BlindPut: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := Model{c.world, c.mistakes}
			r := m.Explore()
			t.Logf("%d states", r.States)
			require.Equal(t, Kept, r.Broken, "\n%s", text(r))
		})
	}
}

// What a mistake breaks, with the shortest way there.
func TestBrokenVariants(t *testing.T) {
	for _, c := range []struct {
		name     string
		world    World
		mistakes Mistakes
	}{
		{"OneReading", two, Mistakes{OneReading: true}},
		{"NoLimit", two, Mistakes{NoLimit: true}},
		{"FirstDeadIsDead", two, Mistakes{FirstDeadIsDead: true}},
		{"CountsLate", two, Mistakes{CountsLate: true}},
		{"CountsInMargin", two, Mistakes{CountsInMargin: true}},
		{"NoMargin", two, Mistakes{NoMargin: true}},
		{"FirstOfMany", two, Mistakes{FirstOfMany: true}},

		// This is no mistake, but where the assumptions end.
		{"ClocksDifferByMoreThanHalfTheMargin", World{Keys: 2, T: 4, M: 2, D: 2, Within: 2}, Mistakes{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := Model{c.world, c.mistakes}
			r := m.Explore(CountedKeyGone)
			require.Equal(t, WritesAfterEnd, r.Broken)
			file := filepath.Join("testdata", c.name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(text(r)), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), text(r))
		})
	}
}

// text is a counterexample to be read.
func text(r Result) string {
	var out strings.Builder
	for i, s := range r.Trace {
		fmt.Fprintf(&out, "%2d  %-7s %s\n", i+1, s.Who, s.Does)
	}
	fmt.Fprintf(&out, "=> %v\n", r.Broken)
	return out.String()
}
