package inspect

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// at is a moment in a cell, counted from an arbitrary one.
func at(cell int) time.Time {
	return time.UnixMilli(1700000000000).Add(time.Duration(cell) * cellLength)
}

var anyCell = cellOf(at(0))

// cells are the letters of a strip's text, and the number of the newest one.
func cells(t *testing.T, text string) (letters string, newest int64) {
	t.Helper()
	last, runs, ok := strings.Cut(text, ":")
	require.True(t, ok, text)
	newest, err := strconv.ParseInt(last, 10, 64)
	require.NoError(t, err)
	for runs != "" {
		letter := runs[:1]
		digits := len(runs) - len(strings.TrimLeft(runs[1:], "0123456789"))
		n, err := strconv.Atoi(runs[1:digits])
		require.NoError(t, err, text)
		letters += strings.Repeat(letter, n)
		runs = runs[digits:]
	}
	require.Len(t, letters, stripCells)
	return letters, newest
}

func TestStripKnowsWhatWasBeforeAdd(t *testing.T) {
	var s strip
	s.begin(at(-3), at(0), wechatws.StateOpen)
	s.move(at(2), wechatws.StateWaiting)
	letters, newest := cells(t, s.text())
	require.Equal(t, anyCell+2, newest)
	require.Equal(t, "-ooooow", letters[stripCells-7:])

	s = strip{}
	s.begin(at(-100000), at(0), wechatws.StateOpen)
	s.move(at(1), wechatws.StateWaiting)
	letters, _ = cells(t, s.text())
	require.Equal(t, strings.Repeat("o", stripCells-1)+"w", letters)
}

func TestStripShowsTheWorstOfACell(t *testing.T) {
	var s strip
	s.begin(at(0), at(0), wechatws.StateOpen)
	for i, state := range []wechatws.State{wechatws.StateWaiting, wechatws.StateConnecting, wechatws.StateOpen} {
		s.move(at(1).Add(time.Duration(i)*time.Second), state)
	}
	s.move(at(3), wechatws.StateConnecting)
	s.move(at(3), wechatws.StateOpen)
	s.move(at(5), wechatws.StateFailed)
	s.move(at(5), wechatws.StateOpen)
	s.move(at(6), wechatws.StateOpen)
	letters, _ := cells(t, s.text())
	require.Equal(t, "owocofo", letters[stripCells-7:])
}

func TestStripSurvivesAClockPutBack(t *testing.T) {
	var s strip
	s.begin(at(0), at(0), wechatws.StateOpen)
	s.move(at(10), wechatws.StateWaiting)
	s.move(at(-100000), wechatws.StateOpen)
	s.move(at(11), wechatws.StateWaiting)
	letters, newest := cells(t, s.text())
	require.Equal(t, anyCell+11, newest)
	require.Equal(t, "oow", letters[stripCells-4:stripCells-1])
}

func TestStripOfAnUnknownState(t *testing.T) {
	var s strip
	s.begin(at(0), at(0), wechatws.State(99))
	s.move(at(1), wechatws.State(-1))
	letters, _ := cells(t, s.text())
	require.Equal(t, strings.Repeat("-", stripCells), letters)
}

// The same as a strip without bounds.
func TestStripAtRandom(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		now, state := at(0), wechatws.StateOpen
		var s strip
		s.begin(now, now, state)
		long := map[int64]uint8{cellOf(now): uint8(state)}
		for range 400 {
			next := now.Add(time.Duration(random.ExpFloat64() * float64(random.IntN(30)) * float64(time.Second)))
			for c := cellOf(now) + 1; c <= cellOf(next); c++ {
				long[c] = uint8(state)
			}
			now, state = next, wechatws.State(random.IntN(7))
			s.move(now, state)
			if c := cellOf(now); cellRank[uint8(state)] > cellRank[long[c]] {
				long[c] = uint8(state)
			}
			letters, newest := cells(t, s.text())
			require.LessOrEqual(t, newest, cellOf(now))
			var want strings.Builder
			for c := newest - stripCells + 1; c <= newest; c++ {
				if known, ok := long[c]; ok {
					want.WriteByte(cellLetters[known])
				} else {
					want.WriteByte(cellLetters[cellUnknown])
				}
			}
			require.Equal(t, want.String(), letters, "seed %d", seed)
		}
	}
}
