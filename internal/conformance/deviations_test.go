package conformance

// A deviation is what a transport does instead of what the cases want.
type deviation struct {
	cases   string // their names
	outcome outcome
	why     string
}

type deviations []deviation

// ofLibraries has what github.com/coder/websocket and its predecessor nhooyr.io/websocket do,
// which have this code in common.
var ofLibraries = deviations{
	{
		cases: "masked.text", outcome: closed(text("igohn")),
		why: "the library ignores the mask of a data frame from a server, and delivers the masked bytes",
	},
	{cases: "masked.fragment", outcome: closed(text("helloigohn")), why: "as for masked.text"},
	{cases: "masked.empty", outcome: closed(text("")), why: "as for masked.text"},
	{cases: "masked.ping", outcome: closed(pong("hello")), why: "the library unmasks a control frame from a server"},
	{cases: "masked.close", outcome: closed(), why: "as for masked.ping"},
	{
		cases: "length.negative", outcome: outcome{close: "none", report: "1002"},
		why: "the library returns an error, and sends no close frame",
	},
	{
		cases: "7.1.5", outcome: outcome{close: "1000", report: "1002"},
		why: "a close frame inside a fragmented message is an error of the message's reader, which the adapter does not convert",
	},
	{
		cases: "7.5.1", outcome: outcome{close: "1000 and a reason that is not UTF-8", report: "peer 1000"},
		why: "the library does not check the reason, and sends it back",
	},
	{
		cases: "deflate.corrupt deflate.truncated-stored", outcome: outcome{close: "none", report: "1007"},
		why: "the library returns the error of compress/flate, and sends no close frame",
	},
	{
		cases: "deflate.context", outcome: outcome{frames: []string{text(repetitive)}, close: "none", report: "1007"},
		why: "as for deflate.corrupt",
	},
	{
		cases: "deflate.takeover", outcome: outcome{frames: []string{text(repetitive)}, close: "none", report: "1007"},
		why: "the library takes its own offer of server_no_context_takeover for the answer",
	},
	{
		cases: "deflate.truncated", outcome: closed(text("Heh")),
		why: "the library takes the end of the bytes for the end of the message",
	},
	{
		cases: "deflate.final-and-more", outcome: outcome{frames: []string{text("Hello")}, close: "none", report: "1007"},
		why: "the library leaves what follows a final block unread, and takes it for the next message",
	},
}
