package wechatws

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// Permanent marks err as permanent: an error that another attempt cannot mend, such as a
// revoked account. Returned by a function of the user's that an attempt or a connection
// depends on, it ends the client in [StateFailed] instead of being retried: by the functions
// of [WithEndpoint], [WithLogin], [WithProxy], [WithNetDial] and [Client.AfterConnect], by a
// Dialer, or as the cause given to [Client.Disconnect].
//
// The mark does not change the error's text, [errors.Is] and [errors.As] see through it, and
// it may be wrapped. Permanent(nil) is nil. What Permanent of github.com/cenkalti/backoff
// returns is recognised as well, in each major version from v4 on.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// isPermanent reports whether err, or an error below it, is marked as permanent. A method
// such as Permanent() bool is not looked for: an error of another library may have one that
// means something else, and the client must not end because of it.
func isPermanent(err error) bool {
	return errors.As(err, new(*permanentError)) || isBackOffPermanent(err)
}

// isBackOffPermanent recognises the mark of cenkalti/backoff by the name of its type. Each
// major version has a type of its own, which v6 does not export, and only v4 is a dependency.
func isBackOffPermanent(err error) bool {
	if err == nil {
		return false
	}
	if t := reflect.TypeOf(err); t.Kind() == reflect.Pointer {
		t = t.Elem()
		marked := t.Name() == "PermanentError" || t.Name() == "permanent"
		if marked && strings.HasPrefix(t.PkgPath(), "github.com/cenkalti/backoff/") {
			return true
		}
	}
	switch e := err.(type) {
	case interface{ hidden() error }:
		return isBackOffPermanent(e.hidden())
	case interface{ Unwrap() error }:
		return isBackOffPermanent(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), isBackOffPermanent)
	}
	return false
}

// A Failure is an attempt that failed, or a connection that ended and was not closed by the
// client. [WithRetryIf] and [DefaultRetryIf] judge it. All of it is in its fields, so that a
// test of a policy can make one.
type Failure struct {
	// Err is a *[DialError], perhaps around a *[HandshakeError] or a *[ProxyError], or a
	// *[CloseError].
	Err error
	// Opened reports whether the client has been open since Connect or Run.
	Opened bool
	// Repeats is how many times in a row the same refusal has come, this time included: the
	// same HTTP status from the server, the same from a proxy, or the same close code from
	// the peer. A failure of another kind and a stable connection (WithStableAfter) end the
	// row. It is 1 for failures that have neither status nor close code.
	Repeats int
	// Persistent reports whether Repeats is three or more, and the first of them was at
	// least as long ago as WithPermanentAfter says, 15 minutes by default.
	Persistent bool
	// FreshEndpoint reports whether the function of WithEndpoint is called before the next
	// attempt, and may return other credentials.
	FreshEndpoint bool
}

// patience is how often in a row a refusal must come to be believed: a policy close
// can be a rate limit. Once the client has been open, it must also have lasted, since
// tries follow each other within seconds: gateways answer 403 during a deploy, and a
// server may refuse a client until it has found out that the connection before is dead.
const patience = 3

// DefaultRetryIf is the default of [WithRetryIf]. It reports whether f is temporary, so that
// another attempt follows.
//
// Before the first open, a wrong set-up is permanent at once: the handshake's 400, 401, 403,
// 404, 405, 407, 410, 426 and 501, and TLS certificates that are wrong in anything but their
// dates. Those that have expired or are not yet valid are retried, since certificates are
// renewed late and clocks are set late. With an endpoint function a first 401, 403 or 407 is
// retried once. A close code of those listed below, which the peer may send while
// AfterConnect runs, is permanent the third time in a row. Time does not count: the caller of
// Connect waits for the result.
//
// Once the client has been open since Connect, staying connected comes first: 401, 403, 407
// and 410, and the close codes 1002, 1003, 1007, 1008 and 1010 from the peer, are permanent
// when they are [Failure.Persistent]: the same has come three times in a row and for 15
// minutes (WithPermanentAfter), with no stable connection in between. With the default tiers
// that is 21 minutes after the first refusal, since the waits are longer by then. It must be
// the same one: refusals that alternate, such as 401 and 403, come from a server in disorder,
// and are retried for as long as they do.
//
// Everything else is retried, a 1000 or 1001 from the peer included. 407 is a proxy that asks
// for other credentials, whether it refuses a tunnel (a *[ProxyError]) or answers in the
// server's place; whatever else a proxy answers when asked for a tunnel is retried.
//
// An error marked with [Permanent] is permanent, whatever a policy says.
func DefaultRetryIf(f Failure) bool {
	if isPermanent(f.Err) {
		return false
	}
	var status int
	if he := (*HandshakeError)(nil); errors.As(f.Err, &he) {
		status = he.Status
	}
	if pe := (*ProxyError)(nil); errors.As(f.Err, &pe) && pe.Status == http.StatusProxyAuthRequired {
		status = pe.Status
	}
	if !f.Opened {
		switch status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
			return f.FreshEndpoint && f.Repeats <= 1
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
			http.StatusGone, http.StatusUpgradeRequired, http.StatusNotImplemented:
			return false
		}
		if isCertificateError(f.Err) && !isOutOfDate(f.Err) {
			return false
		}
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusGone:
		return !f.Persistent
	}
	if ce := (*CloseError)(nil); errors.As(f.Err, &ce) && ce.Remote {
		switch ce.Code {
		case StatusProtocolError, StatusUnsupportedData, StatusInvalidFramePayloadData,
			StatusPolicyViolation, StatusMandatoryExtension:
			return !f.Persistent && (f.Opened || f.Repeats < patience)
		}
	}
	return true
}

func isCertificateError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) ||
		errors.As(err, &hostname) || errors.As(err, &invalid)
}

// isOutOfDate reports whether a certificate has expired or is not yet valid.
func isOutOfDate(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// kind is what makes two failures the same: the HTTP status, below zero when it is a
// proxy's, or the close code. Zero is anything else.
func kind(err error) int {
	if he := (*HandshakeError)(nil); errors.As(err, &he) {
		return he.Status
	}
	if pe := (*ProxyError)(nil); errors.As(err, &pe) {
		return -pe.Status
	}
	if ce := (*CloseError)(nil); errors.As(err, &ce) && ce.Remote {
		return int(ce.Code)
	}
	return 0
}
