package inspect

import (
	"math"
	"strconv"
)

// seriesTicks is the number of values of a sparkline: two minutes of them.
const seriesTicks = 60

// A series is a number at each of the last ticks. Ticks without viewers have
// none.
type series struct {
	values [seriesTicks]int32 // a ring, by the tick modulo seriesTicks; unknown where there is none
	last   int64              // the newest tick
	known  int                // how many ticks back there is anything
}

func (s *series) put(tick, value int64) {
	if s.known == 0 {
		s.last = tick - 1
	}
	for t := max(s.last+1, tick-seriesTicks+1); t < tick; t++ {
		s.values[t%seriesTicks] = unknown
	}
	s.values[tick%seriesTicks] = int32(min(value, math.MaxInt32))
	s.known = min(seriesTicks, s.known+int(min(tick-s.last, seriesTicks)))
	s.last = tick
}

// appendJSON appends the numbers up to a tick, oldest first, null where there is none.
func (s *series) appendJSON(b []byte, tick int64) []byte {
	b = append(b, '[')
	if s.known == 0 {
		return append(b, ']')
	}
	for t := max(s.last-int64(s.known), tick-seriesTicks) + 1; t <= tick; t++ {
		if b[len(b)-1] != '[' {
			b = append(b, ',')
		}
		if v := s.values[t%seriesTicks]; t > s.last || v == unknown {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendInt(b, int64(v), 10)
		}
	}
	return append(b, ']')
}
