package liveroom

import (
	"slices"
	"sort"
)

// mergeHistory puts together what was seen, and a history from the server that
// begins somewhere in it and goes on where it ended. Comments have no id, and what
// two people say may be the same, so what both lists have in common is found by
// aligning the end of one with the beginning of the other, as pieces of text are
// put together: each comment that agrees speaks for an alignment, each that only
// one of them has (a moderator has removed it, an outage has swallowed it) against
// it. All of either list is kept; when nothing overlaps that is one behind the
// other.
//
// The best of all alignments takes a table of all pairs. Some are tried instead, each of
// which takes little more than a look at each comment: one without any difference, and
// those by what is unique in both lists, single comments first and then, since in some
// rooms all say the same, rows of them.
func mergeHistory(seen, history []Comment) []Comment {
	n, m := len(seen), len(history)
	switch {
	case m == 0:
		return seen
	case n == 0:
		return history
	case m <= n && slices.EqualFunc(seen[n-m:], history, sameComment): // nothing new
		return seen
	}
	a, b := numbered(seen, history)
	best := withoutDifference(a, b)
	for length, rowsA, rowsB := 1, a, b; length <= longestRow && length <= min(n, m); length *= 2 {
		if other := around(a, b, inOrder(uniqueOnes(rowsA, rowsB))); other.score(n) > best.score(n) {
			best = other
		}
		rowsA, rowsB = twiceAsLong(rowsA, rowsB, length)
	}
	if best.score(n) <= 0 {
		best = nil
	}
	merged := make([]Comment, 0, n+m)
	i, j := 0, 0
	for _, p := range best {
		merged = append(append(merged, history[j:p.j]...), seen[i:p.i+1]...)
		i, j = p.i+1, p.j+1
	}
	return append(append(merged, seen[i:]...), history[j:]...)
}

func sameComment(a, b Comment) bool { return a.FromName == b.FromName && a.Content == b.Content }

// longestRow is how many comments are looked at together.
const longestRow = 16

// numbered gives each comment a number, the same to those that are the same.
func numbered(seen, history []Comment) (a, b []int) {
	type key struct{ name, content Text }
	numbers := make(map[key]int, len(seen)+len(history))
	of := func(list []Comment) []int {
		ns := make([]int, len(list))
		for i, c := range list {
			k := key{c.FromName, c.Content}
			n, ok := numbers[k]
			if !ok {
				n = len(numbers)
				numbers[k] = n
			}
			ns[i] = n
		}
		return ns
	}
	return of(seen), of(history)
}

// A pair is a place in what was seen and one in the history that hold the same comment.
type pair struct{ i, j int }

// An alignment is pairs, both of whose places ascend.
type alignment []pair

// score is what speaks for the alignment, of n comments that were seen, less what speaks
// against it: comments in between, and those before it and behind it that both should
// have. The list that reaches back further, and what is new in the history, does not
// count.
func (al alignment) score(n int) int {
	if len(al) == 0 {
		return 0
	}
	first, last := al[0], al[len(al)-1]
	between := last.i - first.i + last.j - first.j + 2 - 2*len(al)
	return len(al) - between - min(first.i, first.j) - (n - 1 - last.i)
}

// withoutDifference aligns all of a with the first place in b where it is, or the
// longest end of a that b begins with.
func withoutDifference(a, b []int) (al alignment) {
	j, length := 0, endings(b, a)[len(a)-1]
	if whole := slices.Index(endings(a, b), len(a)); whole >= 0 {
		j, length = whole+1-len(a), len(a)
	}
	for k := range length {
		al = append(al, pair{len(a) - length + k, j + k})
	}
	return al
}

// endings is, for each place in text, how much of the beginning of pattern ends there. It
// is the algorithm of Knuth, Morris and Pratt.
func endings(pattern, text []int) []int {
	next := func(table []int, k, n int) int { // the longest beginning with n behind one of k
		for k == len(pattern) || k > 0 && pattern[k] != n {
			k = table[k-1]
		}
		if pattern[k] == n {
			k++
		}
		return k
	}
	itself := make([]int, len(pattern)) // where pattern repeats its beginning
	for i := 1; i < len(pattern); i++ {
		itself[i] = next(itself, itself[i-1], pattern[i])
	}
	ends := make([]int, len(text))
	k := 0
	for i, n := range text {
		k = next(itself, k, n)
		ends[i] = k
	}
	return ends
}

// twiceAsLong makes numbers of rows of comments, of which there is one for each place
// where it begins, from those of rows that are half as long.
func twiceAsLong(a, b []int, length int) (rowsA, rowsB []int) {
	numbers := make(map[[2]int]int, len(a)+len(b))
	of := func(list []int) []int {
		var rows []int
		for i := range max(0, len(list)-length) {
			k := [2]int{list[i], list[i+length]}
			n, ok := numbers[k]
			if !ok {
				n = len(numbers)
				numbers[k] = n
			}
			rows = append(rows, n)
		}
		return rows
	}
	return of(a), of(b)
}

// around is an alignment of pairs that are known, and of all that agrees around them.
func around(a, b []int, known []pair) (al alignment) {
	last := pair{-1, -1}
	for at := 0; at <= len(known); at++ {
		end := pair{len(a), len(b)}
		if at < len(known) {
			end = known[at]
		}
		if at > 0 { // what follows the one before
			for last.i+1 < end.i && last.j+1 < end.j && a[last.i+1] == b[last.j+1] {
				last = pair{last.i + 1, last.j + 1}
				al = append(al, last)
			}
		}
		if at == len(known) {
			break
		}
		from := end // what precedes this one
		for from.i-1 > last.i && from.j-1 > last.j && a[from.i-1] == b[from.j-1] {
			from = pair{from.i - 1, from.j - 1}
		}
		for ; from.i <= end.i; from = (pair{from.i + 1, from.j + 1}) {
			al = append(al, from)
		}
		last = end
	}
	return al
}

// uniqueOnes are the pairs of what is once in a and once in b, in b's order.
func uniqueOnes(a, b []int) (pairs []pair) {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	const none, many = -1, -2
	size := max(slices.Max(a), slices.Max(b)) + 1
	places := func(list []int) []int {
		at := slices.Repeat([]int{none}, size)
		for i, n := range list {
			if at[n] == none {
				at[n] = i
			} else {
				at[n] = many
			}
		}
		return at
	}
	inA, inB := places(a), places(b)
	for j, n := range b {
		if inA[n] >= 0 && inB[n] >= 0 {
			pairs = append(pairs, pair{inA[n], j})
		}
	}
	return pairs
}

// inOrder is the longest part of pairs, whose j ascends, in which i ascends too.
func inOrder(pairs []pair) []pair {
	var ends []int                    // of the shortest parts of each length: the pair with the lowest i
	before := make([]int, len(pairs)) // the pair before in such a part; -1: none
	for k, p := range pairs {
		n := sort.Search(len(ends), func(n int) bool { return pairs[ends[n]].i >= p.i })
		before[k] = -1
		if n > 0 {
			before[k] = ends[n-1]
		}
		if n == len(ends) {
			ends = append(ends, k)
		} else {
			ends[n] = k
		}
	}
	longest := make([]pair, len(ends))
	for n, k := len(ends)-1, -1; n >= 0; n-- {
		if k < 0 {
			k = ends[n]
		} else {
			k = before[k]
		}
		longest[n] = pairs[k]
	}
	return longest
}
