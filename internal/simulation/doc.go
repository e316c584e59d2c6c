// Package simulation has one test of the whole client: a deterministic simulation of the client, the
// server, the network, the goroutines and functions of users, and the clock, all from one seed and
// in virtual time. See schedule_test.go for what a schedule is, and accounts_test.go for what is
// checked after each step.
package simulation
