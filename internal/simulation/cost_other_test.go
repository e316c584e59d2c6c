//go:build !unix

package simulation

import "time"

// processorTime is unknown: no cost is checked.
func processorTime() time.Duration { return 0 }
