// Package inspect shows clients on a web page while the program runs: the state of
// each and how it got there, the countdown to its next try, round trips, message
// rates, queues and errors, of one client or of a thousand. It is mounted as
// net/http/pprof is:
//
//	http.Handle("/debug/wechatws/", inspect.Handler(client))
//
// Any path will do, with http.StripPrefix or without, with a slash at its end or
// without: the page asks for all it needs at its own address.
//
// # Who may see it
//
// The page tells names, server addresses and error texts. Those that the library
// makes are free of secrets; those of the program's own errors, panics and names are
// shown as they are. Like pprof it does not ask who is looking. Mount it where only
// operators get to: on a loopback or internal address, or behind the program's own
// sign-in. On loopback, a web site could still point a name of its own at 127.0.0.1,
// and read the page in the browser of somebody who visits the site; who fears that
// checks the request's Host before the page sees it.
//
// Nothing can be changed on the page unless the program calls AllowReconnect.
//
// # What it costs
//
// While nobody looks there is no goroutine and no timer. A client that was added has
// two callbacks (OnStateChange and OnError), which keep its states of the last ten
// minutes and its last eight errors: a microsecond for each change, and up to 4 KiB.
// So what has happened is there when somebody comes to look.
//
// While somebody looks, one goroutine for the page takes all clients' Stats every two
// seconds, and those that have changed state four times a second, however many
// viewers there are. They are sent what has changed, encoded once. Round trips and
// message rates are known from then on only, for up to two minutes; that is another
// 4 KiB for each client. A page in a hidden tab hangs up.
//
// A viewer that cannot keep up is dropped, and begins afresh.
package inspect
