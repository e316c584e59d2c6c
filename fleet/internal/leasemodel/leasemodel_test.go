package leasemodel

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

// timed is a world with clocks: two workers of one session each, and one request of
// each under way.
var timed = World{T: 3, M: 2, D: 1, Clocks: true, Prompt: true, Sessions: [workers]uint8{1, 1}, Slots: 1}

// coarse is a smaller one, where the server lets no session die early.
var coarse = with(timed, func(w *World) { w.T, w.M, w.D = 2, 1, 0 })

// again is one where each worker may begin again, after a crash or a lost session.
var again = with(timed, func(w *World) { w.Sessions, w.Crashes = [workers]uint8{2, 2}, true })

// untimed is a world where a session may die at any time and no guard says no, with an
// inbound stream.
var untimed = World{Stream: true, Sessions: [workers]uint8{1, 1}, Slots: 1}

func TestProtocolIsSafe(t *testing.T) {
	for name, c := range map[string]struct {
		world World
		kept  []Property
	}{
		"pauses anywhere but between guard and write": {
			with(again, func(w *World) { w.Writes, w.Pauses = true, NotInWrites }),
			[]Property{TwoWriters, LateWrite, Stuck},
		},
		"no pauses": {
			with(again, func(w *World) { w.Writes, w.Pauses = true, Nowhere }),
			[]Property{TwoWriters, TwoClients, LateWrite},
		},
		"late answers": {
			with(timed, func(w *World) { w.Writes, w.Pauses, w.Prompt, w.Slots = true, NotInWrites, false, 2 }),
			[]Property{TwoWriters, LateWrite, Stuck},
		},
		"the stream, without clocks": {
			with(untimed, func(w *World) { w.Sessions, w.Crashes = [workers]uint8{2, 2}, true }),
			[]Property{FenceWentBack, Stuck},
		},
		"the stream, two requests under way": {
			with(untimed, func(w *World) { w.Slots = 2 }),
			[]Property{FenceWentBack, Stuck},
		},
		"hand-overs": {
			with(timed, func(w *World) { w.Writes, w.Pauses, w.HandsOver, w.Touched = true, NotInWrites, true, true }),
			[]Property{TwoWriters, LateWrite, Stuck},
		},
		"the stream, hand-overs, two requests under way": {
			with(untimed, func(w *World) { w.HandsOver, w.Slots = true, 2 }),
			[]Property{FenceWentBack, Stuck},
		},
		"the stream, hand-overs, the claim changes for other rooms": {
			with(untimed, func(w *World) { w.HandsOver, w.Touched = true, true }),
			[]Property{FenceWentBack, Stuck},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := Model{World: c.world}
			m.Symmetric = true
			r := m.Explore(limit, c.kept...)
			require.Equal(t, Kept, r.Broken, "\n%s", text(r))
			require.True(t, r.Full || r.States >= limit && limit < 5_000_000, "states were left out")
			t.Logf("%d states, %d steps, the furthest state %d steps away", r.States, r.Steps, r.Depth)
		})
	}
}

// What a mistake breaks, with the shortest way there.
func TestBrokenVariants(t *testing.T) {
	for _, c := range []struct {
		name     string
		world    World
		mistakes Mistakes
		breaks   Property
	}{
		{"NoFence", untimed, Mistakes{NoFence: true}, FenceWentBack},
		{"NoMargin", timed, Mistakes{NoMargin: true}, TwoWriters},
		{"NoCompareAndSet", timed, Mistakes{NoCompareAndSet: true}, TwoWriters},
		{"UnknownIsDead", timed, Mistakes{UnknownIsDead: true}, TwoWriters},
		{"ReleaseBeforeClose", timed, Mistakes{ReleaseBeforeClose: true}, TwoWriters},
		{"ReopenAfterRelease", timed, Mistakes{ReopenAfterRelease: true}, TwoWriters},
		{"RenewResurrects", coarse, Mistakes{RenewResurrects: true}, TwoWriters},
		{"ReadRenews", coarse, Mistakes{ReadRenews: true}, TwoWriters},
		{"BeginBeforeClose", with(timed, func(w *World) { w.Sessions[0] = 2 }), Mistakes{BeginBeforeClose: true}, TwoWriters},
		{"OpenUnmarked", untimed, Mistakes{OpenUnmarked: true}, FenceWentBack},
		{"HandOverUnknown", with(untimed, func(w *World) { w.HandsOver, w.Slots = true, 2 }), Mistakes{HandOverUnknown: true}, FenceWentBack},
		{"StreamForgets", untimed, Mistakes{StreamForgets: true}, FenceWentBack},
		{"AdoptMarker", untimed, Mistakes{AdoptMarker: true}, FenceWentBack},

		// These are no mistakes, but where the assumptions end.
		{"ClocksDifferByMoreThanHalfTheMargin", with(timed, func(w *World) { w.D = 2 }), Mistakes{}, TwoWriters},
		{"PauseBetweenGuardAndWrite", with(timed, func(w *World) { w.Writes = true }), Mistakes{}, LateWrite},
		{"PauseBeforeClosing", timed, Mistakes{}, TwoClients},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := Model{World: c.world, Mistakes: c.mistakes}
			r := m.Explore(limit, c.breaks)
			if r.Broken == Kept && r.States >= limit && limit < 5_000_000 {
				t.Skip("not within so few states")
			}
			require.Equal(t, c.breaks, r.Broken)
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

func with(w World, change func(*World)) World {
	change(&w)
	return w
}

// text is a counterexample to be read.
func text(r Result) string {
	var out strings.Builder
	for i, v := range r.Trace {
		who := "-"
		if v.Step.Worker >= 0 {
			who = string(rune('A' + v.Step.Worker))
		}
		fmt.Fprintf(&out, "%2d  %-8s%s  %s\n", i+1, v.Step.Rule, who, v.Step.Does)
	}
	fmt.Fprintf(&out, "=> %v\n", r.Broken)
	return out.String()
}
