package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws"
)

// usage returns an error of the command line.
func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// wrongFlag returns the error about a flag's value; an empty one is not shown, as it may be a secret.
func wrongFlag(flag, value, want string) error {
	if value == "" {
		return usage("--%s: %s", flag, want)
	}
	return usage("--%s %s: %s", flag, value, want)
}

// inFlags returns an error of [wechatws.New] with the names of flags instead of options.
func inFlags(err error) error {
	if err == nil {
		return nil
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, err := range all.Unwrap() {
			errs = append(errs, inFlags(err))
		}
		return errors.Join(errs...)
	}
	var option *wechatws.OptionError
	if !errors.As(err, &option) {
		return err
	}
	if option.Option == "url" {
		return usage("URL %s: %s", option.Value, option.Want)
	}
	name, _, _ := strings.Cut(option.Option, ".")
	if flag, ok := flagOf[name]; ok {
		return wrongFlag(flag, option.Value, option.Want)
	}
	return usageError{err}
}

// tiersOf parses a schedule such as 3s*20,10s*30,450s.
func tiersOf(schedule string) (tiers []wechatws.Tier, err error) {
	for _, tier := range strings.Split(schedule, ",") {
		delay, attempts, counted := strings.Cut(tier, "*")
		var t wechatws.Tier
		if t.Delay, err = time.ParseDuration(strings.TrimSpace(delay)); err == nil && counted {
			t.Attempts, err = strconv.Atoi(strings.TrimSpace(attempts))
		}
		if err != nil || counted && t.Attempts < 1 {
			return nil, wrongFlag("retry", schedule, "must be delays and attempts such as 3s*20,10s*30,450s")
		}
		tiers = append(tiers, t)
	}
	return tiers, nil
}

// tlsFlags are the flags for wss.
type tlsFlags struct {
	ca, cert, key, name string
	insecure            bool
}

func (f *tlsFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.ca, "tls-ca", "", "a file with the certificates to trust, as PEM")
	flags.StringVar(&f.cert, "tls-cert", "", "a file with a client certificate, as PEM")
	flags.StringVar(&f.key, "tls-key", "", "a file with its key, as PEM")
	flags.StringVar(&f.name, "tls-server-name", "", "the name that the server's certificate must have (default the URL's host)")
	flags.BoolVar(&f.insecure, "tls-insecure", false, "accept any certificate, and so anyone in between")
	_ = c.RegisterFlagCompletionFunc("tls-server-name", cobra.NoFileCompletions)
}

// config returns nil if the flags ask for nothing.
func (f *tlsFlags) config() (*tls.Config, error) {
	if *f == (tlsFlags{}) {
		return nil, nil
	}
	config := &tls.Config{ServerName: f.name, InsecureSkipVerify: f.insecure}
	if f.ca != "" {
		pem, err := readSmall(f.ca, 16<<20)
		if err != nil {
			return nil, wrongFlag("tls-ca", f.ca, err.Error())
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(pem)) {
			return nil, wrongFlag("tls-ca", f.ca, "there is no certificate in it; it must be PEM")
		}
	}
	if (f.cert == "") != (f.key == "") {
		return nil, usage("--tls-cert and --tls-key belong together")
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, wrongFlag("tls-cert", f.cert, err.Error())
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
