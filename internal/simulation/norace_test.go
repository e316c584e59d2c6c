//go:build !race

package simulation

const (
	usual      = 2000
	equalSeeds = 40
)
