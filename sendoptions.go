package wechatws

import "time"

// A SendOption says something about one message that is sent.
type SendOption func(*outgoing)

// EncodeOnWrite has the message encoded once more when it is about to be written, for
// a value that holds something of the connection, such as the id that the server
// gave it: what waits through a reconnect is then right for the new connection.
// The value is encoded on the goroutine that writes, and must not call the client
// there. When that fails the message goes out as it was, and OnError is told. It
// means nothing to SendText and SendBinary.
func EncodeOnWrite() SendOption { return func(m *outgoing) { m.late = true } }

// ExpireAfter gives the message up when it has not been written for so long: a
// comment is worthless after a minute. It is noticed when the message would be
// written, or when the queue is full, and told to OnError in a *DroppedError with
// ErrExpired. A duration that is not above zero gives it up unless it is written
// in the same moment.
func ExpireAfter(d time.Duration) SendOption {
	return func(m *outgoing) { m.expires = time.Now().Add(d) }
}

// FailFast does not queue the message: Send returns ErrNotOpen when there is no
// open connection, and otherwise when the message is written, with the error if
// there is one. It is WithQueue(0, …) for one message.
func FailFast() SendOption { return func(m *outgoing) { m.direct = true } }

// ConfirmTimeout sets how long SendConfirmed waits for each confirmation before it
// sends the message again. The default is 10 s. It means nothing to others.
func ConfirmTimeout(d time.Duration) SendOption { return func(m *outgoing) { m.confirmTimeout = d } }
