package leasemodel

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	base := World{T: 3, M: 2, D: 1, Clocks: true, Sessions: [2]uint8{1, 1}, Slots: 1, Prompt: true, Symmetric: true}
	try := func(n string, m Model, p ...Property) {
		if f := os.Getenv("ONLY"); f != "" && !strings.Contains(n, f) {
			return
		}
		t0 := time.Now()
		r := m.Explore(5_000_000, p...)
		fmt.Printf("%-20s states %d steps %d depth %d broken %v full %v trace %d %v\n", n, r.States, r.Steps, r.Depth, r.Broken, r.Full, len(r.Trace), time.Since(t0))
		for _, v := range r.Trace {
			c := "-"
			if v.Step.Worker >= 0 {
				c = "AB"[v.Step.Worker : v.Step.Worker+1]
			}
			fmt.Println("   ", v.Step.Rule, c, v.Step.Does)
		}
	}
	n := base
	n.Pauses = Nowhere
	n.Writes = true
	try("ok-nopause11", Model{World: n}, TwoWriters, TwoClients, LateWrite)
	p := base
	p.Pauses = NotInWrites
	p.Writes = true
	try("ok-notinwrites11", Model{World: p}, TwoWriters, LateWrite, Stuck)
	f := World{Sessions: [2]uint8{1, 1}, Slots: 1, Stream: true, Symmetric: true}
	try("ok-fence11-1", Model{World: f}, FenceWentBack, Stuck)
	f.Sessions = [2]uint8{2, 2}
	f.Prompt = true
	try("ok-fence22-1p", Model{World: f}, FenceWentBack, Stuck)
	q := base
	q.Writes = true
	q.Symmetric = false
	try("v-pause", Model{World: q}, LateWrite)
}
