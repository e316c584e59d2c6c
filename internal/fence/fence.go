// Package fence gives package fleet a client's write fence, which is not for programs.
package fence

// New returns the wechatws.Option of a write fence. Package wechatws sets it.
//
// allow is called before each dial, and before each write to the network connection:
// messages, heartbeats, pongs and close frames. If it returns an error, nothing is written.
// The attempt fails, or the connection ends at once without a close handshake, with that
// error as the cause; messages that were not written stay queued. A fenced connection ends
// with a TCP reset, which discards what the kernel has not sent yet.
//
// allow must not block. It is called from several goroutines at a time. A Dialer that does
// not use Handshake.Client is not fenced.
var New func(allow func() error) any
