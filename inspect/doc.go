// Package inspect shows clients on a web page while the program runs: the state of
// each and its history, the countdown to its next attempt, round trips, message
// rates, queues and errors, of one client or of a thousand. It is mounted as
// net/http/pprof is:
//
//	page := inspect.New()
//	page.Add("bot", client)
//	http.Handle("/debug/wechatws/", page)
//
// The page may be mounted at any path, with [http.StripPrefix] or without, with a
// trailing slash or without: it requests its data at its own address.
//
// # Access
//
// The page shows names, server addresses and error texts. Those that the library
// makes are free of secrets; the program's own errors, panics and names are shown as they
// are. Like pprof, the page has no access control. Mount it where only operators have
// access: on a loopback or internal address, or behind the program's own sign-in. On
// loopback, a web site could still resolve a name of its own to 127.0.0.1 (DNS
// rebinding), so there the page refuses a Host that is a name other than localhost; see
// [WithHosts]. On an internal address, check the Host in front of the page.
//
// Nothing can be changed from the page, except with [WithReconnect].
//
// # Cost
//
// Without viewers there is no goroutine and no timer. A client that was added has
// two callbacks (OnStateChange and OnError), which keep its states of the last ten
// minutes and its last eight errors: a microsecond for each change, and up to 4 KiB.
// So the history is there when the page is opened.
//
// With viewers, one goroutine for the page takes the Stats of all clients every two
// seconds, and of those whose state has changed four times a second, however many
// viewers there are. Viewers receive what has changed, encoded once. Round trips and
// message rates are known from then on only, for up to two minutes; that is another
// 4 KiB for each client. A page in a hidden tab disconnects.
//
// A viewer that cannot keep up is disconnected, and its page reconnects and starts over.
// There are at most 64 viewers at a time.
package inspect
