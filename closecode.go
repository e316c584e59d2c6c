package wechatws

import (
	"fmt"
	"log/slog"
	"strconv"
	"unicode/utf8"
)

// StatusCode is a WebSocket close code. Its text is the number and the name; in a log and in
// JSON it is the number.
type StatusCode int

// The close codes of RFC 6455 and the IANA registry that a client may receive.
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

var statusNames = map[StatusCode]string{
	StatusNormalClosure:           "normal closure",
	StatusGoingAway:               "going away",
	StatusProtocolError:           "protocol error",
	StatusUnsupportedData:         "unsupported data",
	StatusNoStatusRcvd:            "no status received",
	StatusAbnormalClosure:         "abnormal closure",
	StatusInvalidFramePayloadData: "invalid frame payload data",
	StatusPolicyViolation:         "policy violation",
	StatusMessageTooBig:           "message too big",
	StatusMandatoryExtension:      "mandatory extension",
	StatusInternalError:           "internal error",
	StatusServiceRestart:          "service restart",
	StatusTryAgainLater:           "try again later",
}

// String returns the number and the name, such as "1006 (abnormal closure)", and the number
// alone for a code without a constant, such as "4001".
func (c StatusCode) String() string {
	number := strconv.Itoa(int(c))
	if name := statusNames[c]; name != "" {
		return number + " (" + name + ")"
	}
	return number
}

// MarshalText implements [encoding.TextMarshaler], with what String returns.
func (c StatusCode) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalJSON implements [json.Marshaler], with the number: close codes are searched for and
// compared by number, and those of applications have no names.
func (c StatusCode) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(c), 10), nil }

// LogValue implements [slog.LogValuer], with the number.
func (c StatusCode) LogValue() slog.Value { return slog.IntValue(int(c)) }

// maxCloseReason is the length of a reason in bytes that fits into a control frame of 125 bytes,
// after the code.
const maxCloseReason = 123

// checkClose returns an *OptionError if the code or the reason must not be sent.
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
