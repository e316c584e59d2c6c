package wstest

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A stampedConn knows when the kernel received what Read returns. On a busy machine a
// goroutine may read much later, and in another order than the data of two connections
// arrived in.
type stampedConn struct {
	*net.TCPConn
	raw     syscall.RawConn
	control [128]byte
	at      time.Time // of the latest Read
}

// stamp asks the kernel for the time of arrival of all that a listener's connections
// receive, which inherit the option. It is not asked for each of them, since the kernel
// begins to keep times a moment later.
func stamp(l net.Listener) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) // without it: the time of reading
	})
}

// stamped returns nil if the kernel keeps no times for conn.
func stamped(conn net.Conn) *stampedConn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return &stampedConn{TCPConn: tcp, raw: raw}
}

func (c *stampedConn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	var oobn int
	var failed error
	err = c.raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, _, _, failed = unix.Recvmsg(int(fd), p, c.control[:], 0)
			if failed != unix.EINTR {
				return failed != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("recvmsg", failed)}
	case n == 0:
		return 0, io.EOF
	}
	c.at = arrival(c.control[:oobn])
	return n, nil
}

// arrival is the time in control messages. Segments that have waited side by side have
// the time of the last one.
func arrival(control []byte) time.Time {
	now := time.Now()
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return now
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SCM_TIMESTAMPNS || len(m.Data) < int(unsafe.Sizeof(unix.Timespec{})) {
			continue
		}
		at := (*unix.Timespec)(unsafe.Pointer(unsafe.SliceData(m.Data)))
		// By its distance from now, so that the time has a monotonic reading, too.
		return now.Add(-max(0, time.Duration(now.UnixNano()-at.Nano())))
	}
	return now
}
