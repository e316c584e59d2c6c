//go:build race

package trials_test

// The race detector makes all processes slower, the servers among them: less is said, so that it
// does not only pile up.
const slower = 5
