package liveroom

import "slices"

// mergeHistory puts together what was seen, and a history from the server that
// begins somewhere in it and goes on where it ended. Comments have no id, and what
// two people say may be the same, so what both lists have in common is found by
// aligning the end of one with the beginning of the other, as pieces of text are
// put together: each comment that agrees speaks for an alignment, each that only
// one of them has (a moderator has removed it, an outage has swallowed it) against
// it. All of either list is kept; when nothing overlaps that is one behind the
// other.
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
	// score[i][j] is that of the best alignment of an end of seen[:i] with
	// history[:j], or of seen[:i] with an end of history[:j], which may reach back
	// further.
	score := make([][]int32, n+1)
	cells := make([]int32, (n+1)*(m+1))
	for i := range score {
		score[i] = cells[i*(m+1) : (i+1)*(m+1)]
		for j := 1; j <= m && i > 0; j++ {
			score[i][j] = max(score[i][j-1], score[i-1][j]) - 1
			if sameComment(seen[i-1], history[j-1]) {
				score[i][j] = max(score[i][j], score[i-1][j-1]+1)
			}
		}
	}
	end := 0 // of the part of history that overlaps
	for j, s := range score[n] {
		if s > score[n][end] {
			end = j
		}
	}
	// Back along the alignment.
	merged := make([]Comment, 0, n+m)
	for j := m; j > end; j-- {
		merged = append(merged, history[j-1])
	}
	i, j := n, end
	for i > 0 && j > 0 {
		switch {
		case sameComment(seen[i-1], history[j-1]) && score[i][j] == score[i-1][j-1]+1:
			i, j = i-1, j-1
			merged = append(merged, seen[i])
		case score[i][j] == score[i-1][j]-1:
			i--
			merged = append(merged, seen[i])
		default:
			j--
			merged = append(merged, history[j])
		}
	}
	for ; j > 0; j-- { // seen is used up
		merged = append(merged, history[j-1])
	}
	for ; i > 0; i-- {
		merged = append(merged, seen[i-1])
	}
	slices.Reverse(merged)
	return merged
}

func sameComment(a, b Comment) bool { return a.FromName == b.FromName && a.Content == b.Content }
