package fleet

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheLowestMoveRateIsTheLongestInterval(t *testing.T) {
	for rate, want := range map[float64]time.Duration{
		50:                          20 * time.Millisecond,
		1e12:                        time.Microsecond,
		math.Inf(1):                 time.Microsecond,
		0.5:                         2 * time.Second,
		1e-12:                       1 << 62,
		math.SmallestNonzeroFloat64: 1 << 62,
	} {
		require.Equal(t, want, interval(rate), rate)
	}
}
