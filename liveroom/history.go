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
func mergeHistory(seen, history []Comment) []Comment { return merge(seen, history, Comment.line) }

// A line is what comments are compared by.
type line struct{ name, content Text }

func (c Comment) line() line { return line{c.FromName, c.Content} }

// merge is mergeHistory of anything that is compared by a key.
func merge[T any, K comparable](seen, history []T, key func(T) K) []T {
	n, m := len(seen), len(history)
	switch {
	case m == 0:
		return seen
	case n == 0:
		return history
	case m <= n && slices.EqualFunc(seen[n-m:], history, func(a, b T) bool { return key(a) == key(b) }): // nothing new
		return seen
	}
	best := align(numbered(seen, history, key))
	merged := make([]T, 0, n+m)
	i, j := 0, 0
	for _, p := range best {
		merged = append(append(merged, history[j:p.j]...), seen[i:p.i+1]...)
		i, j = p.i+1, p.j+1
	}
	return append(append(merged, seen[i:]...), history[j:]...)
}

// align returns the best alignment of the numbers of the comments that were seen with those of a
// history, or nil if they have nothing in common. Both have comments.
func align(a, b []int) alignment {
	n := len(a)
	best := withoutDifference(a, b)
	for length, rowsA, rowsB := 1, a, b; length <= longestRow && length <= min(n, len(b)); length *= 2 {
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

// newIn returns the places of the lines in a history that are newer than those that were seen. whole
// reports whether the history cannot begin before those. If they fit in several places, as they do when
// all lines are alike, the last one counts, so that no line is returned that is older. reaches reports
// whether these are all: the history reaches back to lines that were seen, which fit in one place.
func newIn[K comparable](seen, history []K, whole bool) (places []int, reaches bool) {
	if len(history) == 0 || len(seen) == 0 && !whole {
		return nil, false
	}
	var common alignment
	after := -1
	if len(seen) > 0 {
		a, b := numbered(seen, history, func(k K) K { return k })
		if common = align(a, b); len(common) > 0 {
			after, reaches = common[0].j, true // those before it are older than all that were seen
			if end := common.lastEnd(a, b, whole); end > common[len(common)-1].j {
				after, reaches = end, false
			}
		}
	}
	none := len(common) == 0
	for j, line := range history {
		switch {
		case len(common) > 0 && common[0].j == j:
			common = common[1:]
		case j > after && !(none && slices.Contains(seen, line)):
			places = append(places, j)
		}
	}
	return places, reaches
}

// lastEnd returns the last place in b where the lines of a may end: those that the alignment has in a
// row at its end may be there more than once.
func (al alignment) lastEnd(a, b []int, whole bool) int {
	last, length := al[len(al)-1], 1
	for length < len(al) && al[len(al)-1-length] == (pair{last.i - length, last.j - length}) {
		length++
	}
	if whole { // then nothing precedes a in b
		b = b[:min(len(b), max(last.i, last.j)+1)]
	}
	ends := endings(a[last.i+1-length:last.i+1], b)
	for slices.Index(ends[last.j+1:], length) >= 0 {
		last.j += 1 + slices.Index(ends[last.j+1:], length)
	}
	return last.j
}

// longestRow is the maximum number of comments in a row.
const longestRow = 16

// numbered numbers what two lists have. What has equal keys has equal numbers.
func numbered[T any, K comparable](seen, history []T, key func(T) K) (a, b []int) {
	numbers := make(map[K]int, len(seen)+len(history))
	of := func(list []T) []int {
		ns := make([]int, len(list))
		for i, v := range list {
			k := key(v)
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
