// Package trials has only tests: what the client does when real sockets, proxies, name
// servers, certificates and processes fail. It is a separate module because of the
// dependencies of these tests.
package trials
