package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// renewal is how long before the end of a certificate a report mentions it.
const renewal = 21 * 24 * time.Hour

var tlsCheck = check{
	name: "tls", does: "for wss: perform a TLS handshake, and read the chain of certificates",
	cost: func(t *Target) cost { return cost{conns: 1, time: t.Timeout} },
	run:  (*examination).secure, open: true,
}

func (x *examination) secure() Finding {
	switch {
	case x.url.Scheme == "ws":
		return Finding{Verdict: Note, Summary: "none: with ws everything can be read on the way, logins too"}
	case x.proxy != nil:
		return Finding{Verdict: Skipped, Summary: "not tried: TLS goes through the proxy, and the handshake below shows whether it works"}
	}
	config := &tls.Config{}
	if x.TLS != nil {
		config = x.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = x.url.Hostname()
	}
	roots, unverified := config.RootCAs, config.InsecureSkipVerify
	config.InsecureSkipVerify = true // the chain is wanted as evidence too if it is invalid; it is verified below
	config.MinVersion = tls.VersionTLS10
	config.NextProtos = []string{"http/1.1"}
	x.limit--
	ctx, cancel := context.WithTimeout(x.ctx, x.Timeout)
	defer cancel()
	raw, err := x.Dial(ctx, "tcp", cmp.Or(x.reached, net.JoinHostPort(x.url.Hostname(), port(x.url))))
	if err != nil {
		x.broken = "TLS: " + err.Error()
		return Finding{Verdict: Fail, Summary: "no connection for TLS", Evidence: []string{err.Error()}}
	}
	defer raw.Close()
	c := tls.Client(raw, config)
	began := time.Now()
	if err := c.HandshakeContext(ctx); err != nil {
		x.broken = "the TLS handshake fails"
		f := Finding{Verdict: Fail, Summary: "the TLS handshake fails", Evidence: []string{err.Error()}}
		var record tls.RecordHeaderError
		if errors.As(err, &record) {
			f.Summary, x.broken = "the server does not answer with TLS on this port: is the URL ws?", "the server does not answer with TLS on this port"
		}
		return f
	}
	state := c.ConnectionState()
	f := Finding{Verdict: OK, Evidence: []string{fmt.Sprintf("%s, %s, in %v", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), round(time.Since(began)))}}
	pool := x509.NewCertPool()
	for i, cert := range state.PeerCertificates[:min(len(state.PeerCertificates), 8)] {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d: %s, issued by %s, valid from %s to %s", i, name(cert), issuer(cert),
			cert.NotBefore.UTC().Format(time.DateOnly), cert.NotAfter.UTC().Format(time.DateOnly)))
		if i > 0 {
			pool.AddCert(cert)
		}
	}
	leaf := state.PeerCertificates[0]
	now := time.Now()
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: config.ServerName, Roots: roots, Intermediates: pool, CurrentTime: now})
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case now.After(leaf.NotAfter):
		f.Summary = fmt.Sprintf("the certificate has expired %v ago, on %s", days(now.Sub(leaf.NotAfter)), leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		f.Summary = fmt.Sprintf("the certificate is valid from %s on: is this machine's clock right?", leaf.NotBefore.UTC().Format(time.DateOnly))
	case errors.As(err, &authority) && leaf.Subject.String() == leaf.Issuer.String():
		f.Summary = "the certificate is self-signed: trust it with WithTLSConfig (--tls-ca for doctor)"
	case errors.As(err, &authority) && len(state.PeerCertificates) == 1:
		f.Summary = "the certificate's authority is unknown, and the server sends no chain: it should send the intermediate certificates"
	case errors.As(err, &authority):
		f.Summary = "the certificate's authority is unknown: trust it with WithTLSConfig (--tls-ca for doctor)"
	case errors.As(err, &host):
		f.Summary = "the certificate is for another name"
		f.Evidence = append(f.Evidence, err.Error())
	case err != nil:
		f.Summary = "the certificate cannot be verified: " + err.Error()
	case state.Version < tls.VersionTLS12:
		unverified = false
		f.Summary = tls.VersionName(state.Version) + " is too old: the library requires TLS 1.2"
	case leaf.NotAfter.Sub(now) < renewal:
		f.Verdict, f.Summary = Note, fmt.Sprintf("%s, and the certificate expires in %v", tls.VersionName(state.Version), days(leaf.NotAfter.Sub(now)))
		return f
	default:
		f.Summary = fmt.Sprintf("%s, the certificate is valid for another %v", tls.VersionName(state.Version), days(leaf.NotAfter.Sub(now)))
		return f
	}
	if unverified {
		f.Verdict, f.Summary = Note, "it is not verified: "+f.Summary
		return f
	}
	f.Verdict, x.broken = Fail, f.Summary
	return f
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func name(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	return "(no name)"
}

func issuer(c *x509.Certificate) string {
	if c.Subject.String() == c.Issuer.String() {
		return "itself"
	}
	if c.Issuer.CommonName != "" {
		return c.Issuer.CommonName
	}
	return c.Issuer.String()
}
