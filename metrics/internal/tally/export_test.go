package tally

// Between is what has come to pass between two moments.
func Between(from, to Counts) (c Counts) {
	c.add(from, to)
	return c
}
