package leasemodel

import (
	"flag"
	"testing"

	"github.com/wechatws/wechatws/fleet/internal/faults"
)

var putBack = flag.String("faults", "", "put faults with such a title into the decisions, one after the other; all: all of them")

// Each fault in the decisions breaks a property of the model. Without the flag, that it can be put there is
// all that is tested.
//
//	go test ./internal/leasemodel -run TestFaultsAreFound -faults all -v
func TestFaultsAreFound(t *testing.T) {
	faults.AreFound(t, "testdata/faults.txt", "../decision/*.go", *putBack)
}
