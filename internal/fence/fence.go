// Package fence makes the write fence of a client, the messages that it discards, and the mark of a
// permanent error available to package fleet only.
package fence

// New returns the write fence, which is an Option of package wechatws. Package wechatws sets
// New.
//
// allow is called before each dial, and before each write to the network connection: messages,
// heartbeats, pongs and close frames. If it returns an error, nothing is written. The attempt
// fails, or the connection ends at once without a close handshake, with that error as the
// cause; messages that were not written stay queued. A connection with a fence ends with a TCP
// reset, which discards data that the kernel has not sent.
//
// allow must not block. It may end the client: Close and CloseNow wait up to 2 s then for the write
// that allow is called for, which is not made even if allow returns nil. Several goroutines may call
// allow at the same time. A Dialer that does not use the Client of its Handshake has no fence.
var New func(allow func() error) any

// Discarded returns an Option of package wechatws, with a func(wechatws.Message). It is called with each
// message that OnMessage callbacks do not receive because Close was called before, in order with the
// callbacks, and must not retain its Data. Package wechatws sets Discarded.
var Discarded func(fn any) any

// IsPermanent reports whether an error, or one below it, is marked as permanent. Package wechatws sets it.
var IsPermanent func(err error) bool
