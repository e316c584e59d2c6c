//go:build !race

package simulation_test

const standardSeeds = 8
