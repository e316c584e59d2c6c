package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain plays the server and the fleets too, as main does.
func TestMain(m *testing.M) {
	if playRole() {
		return
	}
	goleak.VerifyTestMain(m)
}

// small is a bench with small counts.
func small(t *testing.T) *bench {
	var s settings
	s.quicken()
	server, err := startServer("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.end()) })
	return &bench{s, server}
}

// Every run checks its own messages; here every trial has to run, to fill its table,
// and to keep to the limits.
func TestTrials(t *testing.T) {
	b := small(t)
	seen := map[string]bool{}
	for _, trial := range b.trials() {
		if trial.title == "idle fleet of 10,000" {
			continue // the same again
		}
		t.Run(trial.workload+" "+trial.title, func(t *testing.T) {
			all, err := trial.race(b.rounds)
			require.NoError(t, err)
			require.Empty(t, trial.overLimits(all))
			for _, row := range trial.table(all).rows {
				require.NotContains(t, row, "NaN", row)
			}
			path := t.TempDir() + "/" + trial.fileName()
			require.NoError(t, trial.picture(all, path))
			require.FileExists(t, path)
		})
		require.False(t, seen[trial.fileName()], "two trials have the name %s", trial.fileName())
		seen[trial.fileName()] = true
	}
}

// A limit that names nothing would never be passed.
func TestLimitsNameSomething(t *testing.T) {
	b := &bench{}
	b.quicken()
	for _, l := range limits {
		found := false
		for _, trial := range b.trials() {
			for _, e := range trial.entries {
				found = found || trial.workload == l.workload && trial.title == l.title && e.String() == l.entry
			}
		}
		require.True(t, found, "%+v", l)
	}
}

func TestALimitIsPassed(t *testing.T) {
	l := limits[0]
	one := trial{workload: l.workload, title: l.title}
	run := func(value float64) []string {
		return one.overLimits(map[string]results{l.entry: {{l.metric: value}}})
	}
	require.Empty(t, run(l.most))
	if !raced {
		require.Len(t, run(l.most+0.01), 1)
	}
}

// The check of the messages must see one that is missing, altered or out of order.
func TestTally(t *testing.T) {
	s := room()
	count := func(order ...int) error {
		tally := newTally(len(order))
		for _, i := range order {
			tally.raw(s.messages[i])
		}
		return s.check(tally, false)
	}
	require.NoError(t, count(0, 1, 2, 3))
	require.Error(t, count(0, 1, 2, 4))
	require.Error(t, count(1, 0, 2, 3))
	short := newTally(4)
	short.raw(s.messages[0])
	require.Error(t, s.check(short, false))
}

// The mix is the issue's: 70 % comments, 10 % subscribe, 10 % join, 5 % leave, 5 % buy.
func TestRoom(t *testing.T) {
	share := map[string]int{}
	for _, msgType := range room().types {
		share[msgType]++
	}
	require.Equal(t, map[string]int{"message": 700, "subscribe": 100, "join": 100, "leave": 50, "buy": 50}, share)
}

func TestBusiest(t *testing.T) {
	ms := func(all ...int) (out []time.Duration) {
		for _, n := range all {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	require.Equal(t, 1, busiest(ms(0, 100, 200), 100*time.Millisecond))
	require.Equal(t, 3, busiest(ms(0, 150, 160, 249, 250), 100*time.Millisecond))
}

func TestQuartiles(t *testing.T) {
	q1, median, q3 := results{{p50: 5}, {p50: 1}, {p50: 2}, {p50: 4}, {p50: 3}}.quartiles(p50)
	require.Equal(t, [3]float64{2, 3, 4}, [3]float64{q1, median, q3})
	_, median, _ = results{{p50: 1}, {p50: 2}}.quartiles(p50)
	require.Equal(t, 1.5, median)
}

func TestFigure(t *testing.T) {
	require.Equal(t, "1,234,567.9", figure(1234567.89, 1))
	require.Equal(t, "999", figure(999, 0))
	require.Equal(t, "-1,000", figure(-1000, 0))
	require.Equal(t, "0.0085", figure(0.0085, 4))
}

func TestChosen(t *testing.T) {
	s := settings{only: []string{"raw", "coder-reuse", "=gorilla"}}
	for name, want := range map[string]bool{"raw": true, "raw+v2": true, "raw-shared": true, "coder": false, "coder-reuse": true, "rawer": false, "gorilla": true, "gorilla-reuse": false} {
		require.Equal(t, want, s.chosen(name), name)
	}
	require.True(t, settings{}.chosen("gws"))
}
