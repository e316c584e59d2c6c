//go:build linux

// Package attacks measures what attacks of a server cost one client, in a process of its own, and
// compares it with the table in SECURITY.md.
package attacks

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the table in SECURITY.md anew")

const (
	page   = "../../SECURITY.md"
	begins = "<!-- what attacks cost -->\n"
	ends   = "<!-- end -->\n"
)

// A row is the costs of an attack: memory in MB, as of 1,000,000 bytes.
type row struct {
	name       string
	held, peak float64
	cpu        float64 // ms for each MiB from the server, or for each connection
	perMiB     bool
	again      time.Duration // until the client is open again
}

// idle is the name of the row without an attack.
const idle = "nothing"

// factor is how far a figure may be from that of the table.
const factor = 2

// What is below these is not compared with anything smaller: it is the client without an attack,
// the resolution of the clocks, and the scheduling of a busy machine.
const (
	leastMemory = 1.0 // MB
	leastCPU    = 1.0 // ms
	leastAgain  = time.Second
)

// speed returns how long this machine needs now for a fixed piece of work, so that the processor
// time of another machine, or of a busy one, can be compared.
func speed(t *testing.T) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const thread = 1 // RUSAGE_THREAD
	now := func() time.Duration {
		var usage syscall.Rusage
		require.NoError(t, syscall.Getrusage(thread, &usage))
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	r := rand.New(rand.NewPCG(1, 2))
	list := make([]int, 200_000)
	began := now()
	for range 3 {
		for i := range list {
			list[i] = r.Int()
		}
		slices.Sort(list)
	}
	return now() - began
}

// measure attacks a client.
func measure(t *testing.T, a attack) row {
	s := listen(t, a)
	of := a.task
	of.URL = "ws://" + s.Addr().String()
	c := start(t, of)
	c.await("probe")
	before := c.cost()
	s.begin()
	var last *victim
	select {
	case last = <-s.attacked:
	case <-time.After(time.Minute):
		require.Fail(t, "the attack does not end")
	}
	if a.whole && !a.task.Block {
		require.True(t, last.say(message(`{"msg_type":"mark"}`)), "the connection is still open")
		c.await("mark")
	}
	after := c.cost()
	if a.task.Block {
		c.say("unblock")
	}
	began := time.Now()
	close(s.over)
	s.cut()
	c.await("probe")
	cpu := float64(after.CPU-before.CPU) / 1e6
	switch {
	case a.name == idle:
		cpu = 0
	case a.whole:
		cpu /= float64(last.bytes) / mib
	default:
		cpu /= float64(a.times)
	}
	return row{a.name, float64(after.Held) / 1e6, float64(after.Peak) / 1e6, cpu, a.whole, time.Since(began)}
}

// TestAttacks holds the table in SECURITY.md. Memory must be that of the table within a factor of
// two, in both directions. Processor time, in relation to what the machine needs for a fixed
// piece of work, and the time until the client is open again must not be more than twice that of
// the table. -update writes the table.
func TestAttacks(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector costs more than the attacks")
	}
	table, unit := readTable(t)
	var rows []row
	slowness := speed(t)
	for _, a := range attacks() {
		if testing.Short() && !a.short {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			got := measure(t, a)
			rows = append(rows, got)
			slowness = max(slowness, speed(t))
			t.Log(got)
			if *update {
				return
			}
			want, ok := table[a.name]
			require.True(t, ok, "SECURITY.md has no row for this attack; write it with -update")
			within(t, "memory held", got.held, want.held)
			within(t, "memory of the process", got.peak, want.peak)
			assert.LessOrEqual(t, got.cpu, factor*max(want.cpu, leastCPU)*max(1, float64(slowness)/float64(unit)), "ms of the processor")
			assert.LessOrEqual(t, got.again, factor*max(want.again, leastAgain), "until it is open again")
		})
	}
	if *update {
		writeTable(t, rows, slowness)
	} else if !testing.Short() {
		require.Len(t, rows, len(table), "SECURITY.md has rows without an attack; write it with -update")
	}
}

func within(t *testing.T, what string, got, want float64) {
	t.Helper()
	got, want = max(got, leastMemory), max(want, leastMemory)
	assert.LessOrEqual(t, got, factor*want, what)
	assert.GreaterOrEqual(t, got, want/factor, "%s: less than SECURITY.md says; write it with -update", what)
}

func (r row) String() string {
	per := "connection"
	if r.perMiB {
		per = "MiB"
	}
	cpu := "–"
	if r.name != idle {
		cpu = fmt.Sprintf("%s ms a %s", atLeast(r.cpu, 1), per)
	}
	return fmt.Sprintf("| %s | %s MB | %s MB | %s | %s s |", r.name, atLeast(r.held, leastMemory), atLeast(r.peak, 1), cpu, atLeast(r.again.Seconds(), 1))
}

// atLeast returns a figure in whole numbers, or that it is below the least one.
func atLeast(v, least float64) string {
	if v < least {
		return fmt.Sprintf("< %.0f", least)
	}
	return fmt.Sprintf("%.0f", v)
}

var (
	rowLine  = regexp.MustCompile(`(?m)^\| ([^|]+) \| (?:< )?(\d+) MB \| (\d+) MB \| (?:–|(?:< )?(\d+) ms a (MiB|connection)) \| (?:< )?(\d+) s \|$`)
	unitLine = regexp.MustCompile(`three times in (\d+) ms`)
)

// readTable returns the rows by their names, and what the machine that made them needed for the
// fixed piece of work.
func readTable(t *testing.T) (map[string]row, time.Duration) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	number := func(s string) float64 {
		n, _ := strconv.ParseFloat(s, 64) // empty: 0
		return n
	}
	table := map[string]row{}
	for _, m := range rowLine.FindAllStringSubmatch(string(text), -1) {
		table[m[1]] = row{m[1], number(m[2]), number(m[3]), number(m[4]), m[5] == "MiB", time.Duration(number(m[6])) * time.Second}
	}
	unit := unitLine.FindStringSubmatch(string(text))
	require.NotNil(t, unit)
	return table, time.Duration(number(unit[1])) * time.Millisecond
}

func writeTable(t *testing.T, rows []row, unit time.Duration) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begins)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, ends)
	require.True(t, ok)
	var b strings.Builder
	b.WriteString("| the server sends | memory held | of the process | processor | open again |\n| --- | ---: | ---: | ---: | ---: |\n")
	for _, r := range rows {
		fmt.Fprintln(&b, r)
	}
	text = []byte(before + begins + b.String() + ends + after)
	text = unitLine.ReplaceAll(text, fmt.Appendf(nil, "three times in %d ms", unit.Milliseconds()))
	require.NoError(t, os.WriteFile(page, text, 0o644))
}
