package inspect

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSeries(t *testing.T) {
	var s series
	require.Equal(t, "[]", string(s.appendJSON(nil, 7)))
	s.put(8, 12)
	require.Equal(t, "[12]", string(s.appendJSON(nil, 8)))
	s.put(9, unknown)
	s.put(12, 1<<40)
	require.Equal(t, "[12,null,null,null,2147483647]", string(s.appendJSON(nil, 12)))
	require.Equal(t, "[12,null,null,null,2147483647,null]", string(s.appendJSON(nil, 13)))
}

func TestSeriesAtRandom(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		var s series
		var long []any // without bounds
		tick := int64(0)
		for range 300 {
			for gap := random.IntN(1 + random.IntN(100)); gap > 0 && len(long) > 0; gap-- {
				tick++
				long = append(long, nil)
			}
			tick++
			v := random.IntN(1000)
			s.put(tick, int64(v))
			long = append(long, float64(v))
			want := long[max(0, len(long)-seriesTicks):]
			var got []any
			require.NoError(t, json.Unmarshal(s.appendJSON(nil, tick), &got))
			require.Equal(t, want, got, "seed %d", seed)
		}
	}
}
