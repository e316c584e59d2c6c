// Proxy connects through an HTTP CONNECT proxy that wants a password, to a server
// whose certificate is signed by a company's own authority.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"

	"github.com/wechatws/wechatws"
)

// trust makes a TLS configuration that trusts the authorities of a PEM file in addition to
// those of the system. The certificate's name and dates are still checked, which
// InsecureSkipVerify would switch off.
func trust(pemFile string) (*tls.Config, error) {
	authorities, err := os.ReadFile(pemFile)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s: no certificate in it", pemFile)
	}
	return &tls.Config{RootCAs: roots}, nil
}

// newClient makes a client for a wss server behind a proxy. No error and no log line of the
// client contains the password in the proxy's URL.
func newClient(server, proxy, pemFile string, options ...wechatws.Option) (*wechatws.Client, error) {
	via, err := url.Parse(proxy)
	if err != nil {
		return nil, errors.New("the proxy is no URL") // err would quote it, with the password
	}
	config, err := trust(pemFile)
	if err != nil {
		return nil, err
	}
	return wechatws.New(server, append(options,
		// Without this option the environment variables HTTPS_PROXY and NO_PROXY are used.
		wechatws.WithProxy(http.ProxyURL(via)),
		wechatws.WithTLSConfig(config),
	)...)
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	site, err := newSite()
	if err != nil {
		return err
	}
	defer site.Close()

	for _, try := range []struct{ text, proxy, pemFile string }{
		{"the wrong password for the proxy", site.proxyURL("wrong"), site.pemFile},
		{"an authority that did not sign the server's certificate", site.proxyURL(password), site.otherPEMFile},
		{"all is right", site.proxyURL(password), site.pemFile},
	} {
		fmt.Fprintf(out, "** %s\n", try.text)
		client, err := newClient(site.URL(), try.proxy, try.pemFile, site.demo()...)
		if err != nil {
			return err
		}
		if err := client.Connect(ctx); err != nil {
			// The phase names the party at fault: "proxy" is for the operator of the proxy,
			// "tls" for the operator of the server.
			var de *wechatws.DialError
			if errors.As(err, &de) {
				fmt.Fprintf(out, "phase %s: ", de.Phase)
			}
			fmt.Fprintln(out, err)
			continue
		}
		welcome, err := client.Request(ctx, map[string]string{"msg_type": "hello"},
			func(m wechatws.Message) bool { return m.Type == "welcome" })
		if err := errors.Join(err, client.Close(wechatws.StatusNormalClosure, "")); err != nil {
			return err
		}
		fmt.Fprintf(out, "server: %s\n", wechatws.Printable(welcome.Data))
	}
	fmt.Fprintf(out, "the proxy was asked for: %v\n", site.tunnels())
	return nil
}
