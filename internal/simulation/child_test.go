package simulation

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// childTask is the environment variable with what a process does: seeds as first, last and stride,
// or "schedule" for the one in its standard input.
const childTask = "SIMULATION_TASK"

const (
	// scheduleLimit is how long a schedule may take, in real time. It takes a few milliseconds.
	scheduleLimit = 30 * time.Second
	// stderrLines is how much is shown of a crash.
	stderrLines = 40
)

// An outcome is a failure of a schedule.
type outcome struct {
	Seed    uint64
	Failure string
	Journal []string // its end
}

func (o *outcome) String() string { return report(o.Seed, o.Failure, o.Journal) }

// kind returns the first word of the failure.
func (o *outcome) kind() string {
	kind, _, _ := strings.Cut(o.Failure, ":")
	return kind
}

// runTask runs schedules. It prints the seed of each before it begins, and the first failure, which
// ends the process.
func runTask(t *testing.T, task string) {
	one := func(sc *schedule) {
		fmt.Printf("begin %d\n", sc.Seed)
		failure, journal := run(t, sc)
		if failure == "" {
			return
		}
		_ = json.NewEncoder(os.Stdout).Encode(outcome{sc.Seed, failure, journal[max(0, len(journal)-journalLines):]})
		os.Exit(1)
	}
	if task == "schedule" {
		sc := new(schedule)
		if err := json.NewDecoder(os.Stdin).Decode(sc); err != nil {
			t.Fatal(err)
		}
		one(sc)
		return
	}
	var first, last, stride uint64
	if _, err := fmt.Sscan(task, &first, &last, &stride); err != nil {
		t.Fatal(err)
	}
	for seed := first; seed <= last; seed += stride {
		one(newSchedule(seed))
	}
}

// runSeeds runs seeds in a process. It returns the first failure, or nil, and how many were run.
func runSeeds(first, last, stride uint64, stop <-chan struct{}) (*outcome, int) {
	return inChild(fmt.Sprintf("%d %d %d", first, last, stride), nil, stop)
}

// runSchedule runs one schedule in a process, and returns its failure, or nil.
func runSchedule(sc *schedule) *outcome {
	data, err := json.Marshal(sc)
	if err != nil {
		panic(err)
	}
	o, _ := inChild("schedule", data, nil)
	return o
}

// inChild runs a process until it ends, until a schedule takes too long, or until stop is closed.
func inChild(task string, input []byte, stop <-chan struct{}) (found *outcome, ran int) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), childTask+"="+task, "GOMAXPROCS=1")
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return &outcome{Failure: err.Error()}, 0
	}
	stopped, hangs := make(chan struct{}), false
	watchdog := time.NewTimer(scheduleLimit)
	over := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-watchdog.C:
			hangs = true
		case <-stop:
		case <-over:
			return
		}
		_ = cmd.Process.Kill()
	}()
	var seed uint64
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		watchdog.Reset(scheduleLimit)
		line := lines.Text()
		if n, _ := fmt.Sscanf(line, "begin %d", &seed); n == 1 {
			ran++
		} else if strings.HasPrefix(line, "{") {
			found = new(outcome)
			_ = json.Unmarshal([]byte(line), found)
		}
	}
	close(over)
	<-stopped
	err = cmd.Wait()
	select {
	case <-stop:
		return found, ran
	default:
	}
	switch {
	case found != nil:
	case hangs:
		found = &outcome{Seed: seed, Failure: fmt.Sprintf("endless: the schedule has not ended after %v of real time", scheduleLimit)}
	case err != nil:
		text := strings.Split(stderr.String(), "\n")
		found = &outcome{Seed: seed, Failure: "crash: " + err.Error(), Journal: text[:min(len(text), stderrLines)]}
	}
	return found, ran
}
