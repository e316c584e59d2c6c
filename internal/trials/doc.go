// Package trials has nothing but tests: what the client does when real sockets,
// proxies, name servers, certificates and processes fail. It is a module of its own
// because of what it takes to make them fail.
package trials
