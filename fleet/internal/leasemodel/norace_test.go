//go:build !race

package leasemodel

const limit = 5_000_000
