package wechatws

import (
	"fmt"
	"unicode/utf8"
)

// StatusCode is a WebSocket close code.
type StatusCode int

// The close codes of RFC 6455 and the IANA registry that a client meets.
const (
	StatusNormalClosure           StatusCode = 1000
	StatusGoingAway               StatusCode = 1001
	StatusProtocolError           StatusCode = 1002
	StatusUnsupportedData         StatusCode = 1003
	StatusNoStatusRcvd            StatusCode = 1005 // never on the wire: a close frame without a code
	StatusAbnormalClosure         StatusCode = 1006 // never on the wire: no close frame at all
	StatusInvalidFramePayloadData StatusCode = 1007
	StatusPolicyViolation         StatusCode = 1008
	StatusMessageTooBig           StatusCode = 1009
	StatusMandatoryExtension      StatusCode = 1010
	StatusInternalError           StatusCode = 1011
	StatusServiceRestart          StatusCode = 1012
	StatusTryAgainLater           StatusCode = 1013
)

func (c StatusCode) String() string { return fmt.Sprintf("close code %d", int(c)) }

// maxCloseReason is what fits beside the code into a control frame's 125 bytes.
const maxCloseReason = 123

// checkClose says what is wrong with a code and a reason, or nothing.
func checkClose(code StatusCode, reason string) error {
	switch {
	case code == 1004 || code == StatusNoStatusRcvd || code == StatusAbnormalClosure || code == 1015,
		code < 1000, code > 1014 && code < 3000, code > 4999:
		return &OptionError{"Close", fmt.Sprint(int(code)), "this code must not be sent; use 1000 to 1003, 1007 to 1014 or 3000 to 4999"}
	case len(reason) > maxCloseReason:
		return &OptionError{"Close", fmt.Sprintf("reason of %d bytes", len(reason)), "a reason has at most 123 bytes of UTF-8"}
	case !utf8.ValidString(reason):
		return &OptionError{"Close", fmt.Sprintf("%q", reason), "a reason must be valid UTF-8"}
	}
	return nil
}
