package liveroom

import (
	"slices"
	"sort"
)

// mergeHistory merges the comments that were seen with a history from the server, which begins
// somewhere in them and continues after their end. Comments have no id, and two comments may
// have the same text, so the common part is found by aligning the end of one list with the
// beginning of the other: each comment in both lists counts for an alignment, and each that
// only one of them has (a moderator has removed it, or it was lost in an outage) against it.
// The result has all comments of both lists; without an overlap the history follows the
// comments that were seen.
//
// To find the best alignment takes a table of all pairs. Instead, a few are tried, each of
// which takes linear time: one without any difference, and those by comments that are unique
// in both lists, single ones first and then, since in some rooms all comments are alike,
// rows of them.
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
	best := align(seen, history)
	merged := make([]Comment, 0, n+m)
	i, j := 0, 0
	for _, p := range best {
		merged = append(append(merged, history[j:p.j]...), seen[i:p.i+1]...)
		i, j = p.i+1, p.j+1
	}
	return append(append(merged, seen[i:]...), history[j:]...)
}

// align returns the best alignment of the comments that were seen with a history, or nil if they have
// nothing in common. Both have comments.
func align(seen, history []Comment) alignment {
	n := len(seen)
	a, b := numbered(seen, history)
	best := withoutDifference(a, b)
	for length, rowsA, rowsB := 1, a, b; length <= longestRow && length <= min(n, len(history)); length *= 2 {
		if other := around(a, b, inOrder(uniqueOnes(rowsA, rowsB))); other.score(n) > best.score(n) {
			best = other
		}
		rowsA, rowsB = twiceAsLong(rowsA, rowsB, length)
	}
	if best.score(n) <= 0 {
		return nil
	}
	return best
}

// newIn returns the places of the comments in a history that are newer than those that were seen.
func newIn(seen, history []Comment) (places []int) {
	n, m := len(seen), len(history)
	if m == 0 || m <= n && slices.EqualFunc(seen[n-m:], history, sameComment) {
		return nil
	}
	var common alignment
	if n > 0 {
		common = align(seen, history)
	}
	first := -1
	if len(common) > 0 {
		first = common[0].j
	}
	for j := range history {
		if len(common) > 0 && common[0].j == j {
			common = common[1:]
		} else if j > first { // those before it are older than all that were seen
			places = append(places, j)
		}
	}
	return places
}

func sameComment(a, b Comment) bool { return a.FromName == b.FromName && a.Content == b.Content }

// longestRow is the maximum number of comments in a row.
const longestRow = 16

// numbered numbers the comments. Equal comments have equal numbers.
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

// A pair is the place of a comment in the list that was seen and in the history.
type pair struct{ i, j int }

// An alignment is a list of pairs whose places ascend in both lists.
type alignment []pair

// score returns the number of comments for the alignment, of n comments that were seen, minus
// the number against it: those in between, and those before it and behind it that both lists
// should have. Older comments that only one list reaches back to, and new ones in the history,
// are not counted.
func (al alignment) score(n int) int {
	if len(al) == 0 {
		return 0
	}
	first, last := al[0], al[len(al)-1]
	between := last.i - first.i + last.j - first.j + 2 - 2*len(al)
	return len(al) - between - min(first.i, first.j) - (n - 1 - last.i)
}

// withoutDifference aligns all of a with its first occurrence in b, or the longest end of a with
// the beginning of b.
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

// endings returns, for each place in text, the length of the longest beginning of pattern that
// ends there. It is the algorithm of Knuth, Morris and Pratt.
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

// twiceAsLong numbers rows of comments, one row for each place where it begins, from the numbers
// of rows that are half as long.
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

// around returns an alignment of known pairs and of the equal comments around them.
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

// uniqueOnes returns the pairs of comments that are once in a and once in b, in the order of b.
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

// inOrder returns the longest subsequence of pairs in which i ascends, too. Their j ascends.
func inOrder(pairs []pair) []pair {
	var ends []int                    // of the shortest parts of each length: the pair with the lowest i
	before := make([]int, len(pairs)) // the pair before it in such a part, or -1
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
