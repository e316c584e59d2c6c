package simulation

import (
	"fmt"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shrinkLimit is how long a schedule is shrunk. It takes some seconds, unless a failure is that a
// schedule takes long.
const shrinkLimit = 2 * time.Minute

// shrink returns the shortest schedule that it finds to fail as the first one, with the failure. That
// is empty if the schedule does not fail again.
func shrink(sc *schedule, first *outcome) (*schedule, string) {
	var last string
	began := time.Now()
	fails := func(sc *schedule) bool {
		if time.Since(began) > shrinkLimit {
			return false
		}
		o := runSchedule(sc)
		if o == nil || o.kind() != first.kind() {
			return false
		}
		last = o.String()
		return true
	}
	for range 10 {
		if fails(sc) {
			return shortest(sc, fails), last
		}
	}
	return sc, ""
}

// shortest removes what it can from a schedule that fails: steps, several at a time at first, then
// settings, then what is left of each step.
func shortest(sc *schedule, fails func(*schedule) bool) *schedule {
	for before := -1; before != len(sc.Steps); {
		before = len(sc.Steps)
		for n := max(1, len(sc.Steps)/2); n > 0; n /= 2 {
			for at := 0; at+n <= len(sc.Steps); {
				less := *sc
				less.Steps = slices.Delete(slices.Clone(sc.Steps), at, at+n)
				if fails(&less) {
					sc = &less
				} else {
					at += n
				}
			}
		}
	}
	plain := settings{Messages: 1024, Bytes: 1 << 20, Drain: time.Second, Tiers: []time.Duration{time.Second}, Dial: 10 * time.Second, Buffer: 65536}
	for i := range reflect.TypeFor[settings]().NumField() {
		less := *sc
		reflect.ValueOf(&less.Settings).Elem().Field(i).Set(reflect.ValueOf(plain).Field(i))
		if !reflect.DeepEqual(less.Settings, sc.Settings) && fails(&less) {
			sc = &less
		}
	}
	for i := range sc.Steps {
		for _, change := range []func(*step){
			func(s *step) { s.Now = false },
			func(s *step) { s.N = min(s.N, 40) },
			func(s *step) { s.N = min(s.N, 1) },
			func(s *step) { s.N = 0 },
			func(s *step) { s.D = 0 },
			func(s *step) { s.D = s.D.Round(time.Second) },
			func(s *step) { s.D = s.D.Round(time.Millisecond) },
		} {
			less := *sc
			less.Steps = slices.Clone(sc.Steps)
			change(&less.Steps[i])
			if less.Steps[i] != sc.Steps[i] && fails(&less) {
				sc = &less
			}
		}
	}
	return sc
}

// program prints a schedule as a test to be pasted into this package.
func program(sc *schedule) string {
	return fmt.Sprintf(`func TestSchedule%d(t *testing.T) {
	replay(t, &schedule{
		Seed:     %d,
		Settings: settings%s,
		Steps: []step{
%s		},
	})
}

To run it: go test ./internal/simulation -run TestSchedule%d
To run the seed: go test ./internal/simulation -run TestSeeds -seeds %d
`, sc.Seed, sc.Seed, literal(sc.Settings), lines(sc.Steps), sc.Seed, sc.Seed)
}

func lines(steps []step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "\t\t\t%s,\n", literal(s))
	}
	return b.String()
}

// literal prints the fields of a struct that are not zero.
func literal(v any) string {
	var fields []string
	r := reflect.ValueOf(v)
	for i := range r.NumField() {
		if f := r.Field(i); !f.IsZero() {
			fields = append(fields, r.Type().Field(i).Name+": "+strings.ReplaceAll(fmt.Sprintf("%#v", f.Interface()), "time.Duration{", "[]time.Duration{"))
		}
	}
	return "{" + strings.ReplaceAll(strings.Join(fields, ", "), "[][]", "[]") + "}"
}

func TestShortest(t *testing.T) {
	sc := newSchedule(1)
	sc.Steps = append(sc.Steps, step{Do: "fin", Now: true}, step{Do: "advance", D: 1234567 * time.Microsecond}, step{Do: "rst", N: 500})
	tried := 0
	short := shortest(sc, func(sc *schedule) bool {
		tried++
		seen := ""
		for _, s := range sc.Steps {
			seen += s.Do + " "
		}
		return strings.Contains(seen, "fin ") && strings.Contains(seen, "rst ") && sc.Settings.Policy == newSchedule(1).Settings.Policy
	})
	assert.Equal(t, []step{{Do: "fin"}, {Do: "rst"}}, short.Steps)
	assert.Equal(t, sc.Settings.Policy, short.Settings.Policy)
	assert.False(t, short.Settings.Logger)
	assert.Less(t, tried, 500)
}

func TestProgramsAreGo(t *testing.T) {
	text, _, _ := strings.Cut(program(newSchedule(1)), "\nTo run it")
	_, err := parser.ParseFile(token.NewFileSet(), "program.go", "package simulation\n"+text, 0)
	require.NoError(t, err, text)
	assert.Contains(t, text, "[]time.Duration{")
}
