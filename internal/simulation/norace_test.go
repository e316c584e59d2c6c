//go:build !race

package simulation

const usual = 2000
