package leasemodel

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	base := World{T: 3, M: 2, D: 1, Clocks: true, Sessions: 1, Slots: 1}
	try := func(n string, m Model, p ...Property) {
		if f := os.Getenv("ONLY"); f != "" && f != n {
			return
		}
		t0 := time.Now()
		r := m.Explore(6_000_000, p...)
		fmt.Printf("%-20s states %d steps %d depth %d broken %v full %v trace %d %v\n", n, r.States, r.Steps, r.Depth, r.Broken, r.Full, len(r.Trace), time.Since(t0))
		for _, v := range r.Trace {
			c := "-"
			if v.Step.Worker >= 0 {
				c = "AB"[v.Step.Worker : v.Step.Worker+1]
			}
			fmt.Println("   ", v.Step.Rule, c, v.Step.Does)
		}
	}
	try("lease11", Model{World: base}, TwoWriters, Stuck)
	w := base
	w.Sessions = 2
	try("lease22", Model{World: w}, TwoWriters, Stuck)
}
