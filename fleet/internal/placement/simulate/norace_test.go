//go:build !race

package main

const rooms = 1_000_000
