// Package netns is for tests that change a real network: each in Linux network namespaces of
// its own. They need root or unprivileged user namespaces, util-linux and iproute2, and are
// skipped otherwise.
package netns

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// variable is the environment variable with the name of the test, in the process that runs it.
const variable = "NETNS_TEST"

// prepare is what the process does first. It fails where no links can be made, so that the tests
// are skipped. Sysfs shows the network of the namespace in which it was mounted.
const prepare = `ip link set lo up; ip link add probe0 type veth; ip link del probe0; mount -t sysfs sysfs /sys; exec "$@"`

// own is the file that stands for the namespace of the calling thread. /proc/self has that of the
// first thread, which may be in another one.
const own = "/proc/thread-self/ns/net"

// A Namespace is a network namespace.
type Namespace struct {
	t    *testing.T
	file *os.File    // stands for it
	do   chan func() // functions for the thread that is in it; nil: the whole process is
}

// Run runs the test in a namespace of its own, in parallel to others. The namespace has one link
// besides loopback: up0, with carrier, the address 10.0.0.2/24 and the default route to
// 10.0.0.1. Its other end is far0.
//
// A socket belongs to the namespace of the thread that opened it, so Run starts the test again
// in a process that is in the namespace as a whole.
func Run(t *testing.T, test func(t *testing.T, here *Namespace)) {
	if os.Getenv(variable) == t.Name() {
		file, err := os.Open(own)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		here := &Namespace{t: t, file: file}
		here.IP("link add up0 type veth peer name far0", "link set far0 up", "link set up0 up",
			"address add 10.0.0.2/24 dev up0", "route add default via 10.0.0.1")
		test(t, here)
		return
	}
	t.Parallel()
	arguments := []string{"--net", "--mount"}
	if os.Geteuid() != 0 {
		arguments = append(arguments, "--user", "--map-root-user")
	}
	arguments = append(arguments, "sh", "-ec", prepare, "sh")
	if out, err := exec.Command("unshare", append(arguments, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no network namespace to test in (it takes root or unprivileged user namespaces, unshare and iproute2): %v: %s", err, out)
	}
	arguments = append(arguments, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	command := exec.CommandContext(t.Context(), "unshare", arguments...)
	command.Env = append(os.Environ(), variable+"="+t.Name())
	out, err := command.CombinedOutput()
	t.Logf("%s", out)
	switch {
	case err == nil && strings.Contains(string(out), "--- SKIP: "+t.Name()):
		t.Skip("skipped in the namespace")
	case err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("the test has not passed in the namespace: %v", err)
	}
}

// New returns another namespace, which is empty and exists until the test ends.
func New(t *testing.T) *Namespace {
	t.Helper()
	n := &Namespace{t: t, do: make(chan func())}
	go func() {
		runtime.LockOSThread() // and never unlocked: no other goroutine may run in the namespace
		for fn := range n.do {
			fn()
		}
	}()
	t.Cleanup(func() { close(n.do); n.file.Close() })
	var err error
	n.Do(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			n.file, err = os.Open(own)
		}
	})
	if err != nil {
		t.Fatalf("a network namespace: %v", err)
	}
	return n
}

// Path returns a file that stands for the namespace, for ip link set netns.
func (n *Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// Do runs fn on a thread in the namespace, which fn must not end, as t.FailNow does. Sockets that
// fn opens stay in the namespace; goroutines that it starts are outside.
func (n *Namespace) Do(fn func()) {
	if n.do == nil {
		fn()
		return
	}
	done := make(chan struct{})
	n.do <- func() { defer close(done); fn() }
	<-done
}

// IP runs commands of ip in the namespace, as one batch.
func (n *Namespace) IP(commands ...string) {
	n.t.Helper()
	if out, err := n.batch("ip", commands...); err != nil {
		n.t.Fatalf("ip %s: %v: %s", commands[0], err, out)
	}
}

// Slow limits what a link of the namespace sends to a rate of tc, such as "64kbit". More than what
// it sends in 5 s is dropped. A kernel that has no such limit skips the test.
func (n *Namespace) Slow(link, rate string) {
	n.t.Helper()
	if out, err := n.batch("tc", "qdisc add dev "+link+" root tbf latency 5s burst 4kb rate "+rate); err != nil {
		n.t.Skipf("no limit of a link's rate: tc: %v: %s", err, out)
	}
}

func (n *Namespace) batch(program string, commands ...string) (out []byte, err error) {
	command := exec.Command("nsenter", "--net="+n.Path(), program, "-batch", "-")
	command.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	return command.CombinedOutput()
}
