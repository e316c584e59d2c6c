package wechatws

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/wechatws/wechatws/internal/record"
)

// Permanent marks err as permanent: as an error that no further attempt can resolve, such as a
// revoked account. The client ends in [StateFailed] with it, instead of trying again, when it
// is returned by a function of [WithEndpoint], [WithLogin], [WithProxy], [WithNetDial] or
// [Client.AfterConnect], or by a [transport.Dialer], and when it is the cause given to
// [Client.Disconnect].
//
// The mark does not change the error's text. [errors.Is] and [errors.As] find err below it,
// and it may be wrapped. Permanent(nil) is nil. Errors marked by Permanent of
// github.com/cenkalti/backoff are recognised as well, in each major version from v4 on.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// isPermanent reports whether err, or an error below it, is marked as permanent. It ignores a
// method such as Permanent() bool: in an error of another library that may mean something
// else, and the client must not end because of it.
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

// A Failure is an attempt that has failed, or a connection that ended without
// [Client.Close]. It is the argument of [DefaultRetryIf] and of the function of [WithRetryIf],
// and has no unexported fields, so that a test of such a function can make one.
type Failure struct {
	// Err is a *[DialError], perhaps around a *[HandshakeError] or a *[ProxyError], or a
	// *[CloseError].
	Err error `json:"err,omitzero"`
	// Opened reports whether the client has been open since Connect or Run.
	Opened bool `json:"opened"`
	// Repeats is how many times in a row the same refusal has come, including this one: the
	// same HTTP status from the server, the same from a proxy, or the same close code from
	// the peer. A failure of another kind, and a stable connection ([WithStableAfter]), end
	// the row. It is 1 for failures that have neither a status nor a close code.
	Repeats int `json:"repeats"`
	// Persistent reports whether Repeats is three or more and the first of them was at
	// least 15 minutes ago, or the duration of [WithPermanentAfter].
	Persistent bool `json:"persistent"`
	// FreshEndpoint reports whether there is a function of [WithEndpoint], which may return
	// other credentials for the next attempt.
	FreshEndpoint bool `json:"fresh_endpoint"`
}

// LogValue implements [slog.LogValuer].
func (f Failure) LogValue() slog.Value { return record.Log(f) }

// MarshalJSON implements [json.Marshaler].
func (f Failure) MarshalJSON() ([]byte, error) { return record.JSON(f) }

// patience is how many times in a row a refusal must come to be permanent: a policy close can
// be a rate limit. Once the client has been open, the refusal must also have lasted, since
// attempts follow each other within seconds: gateways answer 403 during a deploy, and a server
// may refuse a client until it has detected that the previous connection is dead.
const patience = 3

// DefaultRetryIf is the default of [WithRetryIf]. It reports whether f is temporary, so that
// another attempt follows.
//
// Before the first open, configuration errors are permanent at once: the statuses 400, 401,
// 403, 404, 405, 407, 410, 426 and 501, and invalid TLS certificates. Certificates that have
// expired or are not yet valid are retried, since certificates are renewed late and clocks are
// set late. With a function of [WithEndpoint] a first 401, 403 or 407 is retried once. The
// close codes listed below, which the peer may send while [Client.AfterConnect] functions run,
// are permanent the third time in a row. Time does not count, since the caller of
// [Client.Connect] waits for the result.
//
// Once the client has been open since Connect, the statuses 401, 403, 407 and 410, and the
// close codes 1002, 1003, 1007, 1008 and 1010 from the peer, are permanent if they are
// [Failure.Persistent]: the same refusal has come three times in a row and for 15 minutes
// ([WithPermanentAfter]), with no stable connection in between. With the default tiers the
// client ends 21 minutes after the first refusal, since the waits are longer by then. Refusals
// that alternate, such as 401 and 403, are temporary.
//
// Everything else is temporary, including a close with 1000 or 1001 from the peer. A 407 comes
// from a proxy that requires other credentials, for a tunnel (a *[ProxyError]) or in the
// server's place; every other response of a proxy to CONNECT is temporary.
//
// An error marked with [Permanent] is always permanent, also with a function of
// [WithRetryIf].
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

// kind returns what two failures must have in common to be the same refusal: the HTTP status,
// negative for a proxy's, or the peer's close code. It returns zero for all other failures.
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
