package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

func (b *bench) idleFleet() []trial {
	var trials []trial
	for _, n := range []int{5_000, 10_000} {
		trials = append(trials, trial{
			workload: "W4", title: "idle fleet of " + figure(float64(n), 0),
			note: "Heap and stacks, goroutines and processor time of clients that send nothing but a heartbeat and a ping every 3 s, and disconnect from a peer that is silent for 10 s. " +
				"The others have a goroutine with a ticker each; -shared has one timer for all.",
			rounds:  halved(b.rounds),
			entries: entries(b.times(n), "raw-shared", "raw", "gorilla", "coder", "coder-shared", "nhooyr", "gobwas", "gobwas-shared", "gws", "wechatws"),
			columns: []column{{metric: kibPer, digits: 1, spread: true, ratio: true}, {metric: goroutines, digits: 2}, {metric: cpuShare, digits: 2, spread: true, ratio: true}},
			chart:   kibPer,
			run:     b.idleFleetOnce,
		})
	}
	return trials
}

// halved is the number of rounds of a trial that takes long.
func halved(rounds int) int { return (rounds + 1) / 2 }

func (b *bench) idleFleetOnce(e entry) (result, error) {
	if err := b.awaitEmpty(); err != nil {
		return nil, err
	}
	name, shared := strings.CutSuffix(e.name, "-shared")
	task := fleetTask{Port: b.server.port, Contender: name, Shared: shared, Clients: e.size, Beat: b.interval, Window: b.window}
	if b.profile != "" {
		task.Profile = fmt.Sprintf("%s.fleet-%d", b.profile, e.size)
	}
	p, err := startFleet(task)
	if err != nil {
		return nil, err
	}
	line, lineErr := p.line()
	if err := errors.Join(p.end(), lineErr); err != nil {
		return nil, err
	}
	var report fleetReport
	if err := json.Unmarshal([]byte(line), &report); err != nil {
		return nil, err
	}
	return result{kibPer: report.KiB, goroutines: report.Goroutines, cpuShare: report.CPU}, nil
}

// awaitEmpty waits until the server has no connection of the previous fleet.
func (b *bench) awaitEmpty() error {
	for range 100 {
		c, err := ask(b.server.port)
		if err != nil {
			return err
		}
		if c.Open == 0 {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the connections of the fleet before do not end")
}

func startFleet(t fleetTask) (*process, error) {
	task, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return startProcess("fleet", string(task))
}
