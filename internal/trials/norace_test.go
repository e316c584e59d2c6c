//go:build !race

package trials

const stormClients = 2000
