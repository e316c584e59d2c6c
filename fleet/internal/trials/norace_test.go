//go:build !race

package trials_test

const slower = 1
