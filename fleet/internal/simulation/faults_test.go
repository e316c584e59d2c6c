package simulation_test

import (
	"flag"
	"testing"

	"github.com/wechatws/wechatws/fleet/internal/faults"
)

var putBack = flag.String("faults", "", "put faults with such a title back into the fleet, one after the other; all: all of them")

// Each fault is found by its tests when it is put back. Without the flag, that it can be put back is all that
// is tested.
//
//	go test ./internal/simulation -run TestFaultsAreFound -faults all -v
func TestFaultsAreFound(t *testing.T) {
	faults.AreFound(t, "testdata/faults.txt", "../../*.go", *putBack, "-seeds=40")
}
