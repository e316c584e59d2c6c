package doctor

import (
	"crypto/tls"
	"fmt"
	"go/format"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/wechatws/wechatws"
)

// An Option is an option of package wechatws, as code and as a value.
type Option struct {
	Code string `json:"code"`

	sets    string // what it sets: a later one that sets the same replaces an earlier one
	value   wechatws.Option
	imports []string
}

// chosen returns the options that have been found, of those that set the same the last.
func (x *examination) chosen() (list []Option) {
	for _, o := range x.options {
		list = slices.DeleteFunc(list, func(earlier Option) bool { return earlier.sets == o.sets })
		list = append(list, o)
	}
	return list
}

// code returns the call of wechatws.New with the options that fit. Secrets are read from the
// environment.
func (x *examination) code() string {
	var b strings.Builder
	imports := map[string]bool{"github.com/wechatws/wechatws": true}
	target := strconv.Quote(x.URL)
	if x.url.RawQuery != "" || x.url.User != nil || x.url.Fragment != "" {
		target, imports["os"] = `os.Getenv("WS_URL")`, true
	}
	options := x.given()
	options = append(options, x.chosen()...)
	var lines strings.Builder
	for _, o := range options {
		fmt.Fprintf(&lines, "\t%s,\n", o.Code)
		for _, name := range o.imports {
			imports[name] = true
		}
	}
	fmt.Fprintf(&b, "// import %s\n", strings.Join(quoted(slices.Sorted(maps.Keys(imports))), ", "))
	if x.broken != "" {
		fmt.Fprintf(&b, "// It cannot connect yet: %s.\n", x.clean(x.broken))
	}
	if len(options) == 0 {
		fmt.Fprintf(&b, "client, err := wechatws.New(%s)\n", target)
		return b.String()
	}
	fmt.Fprintf(&b, "client, err := wechatws.New(%s,\n%s)\n", target, lines.String())
	formatted, err := format.Source([]byte(b.String()))
	if err != nil { // it is code of this package
		panic(fmt.Sprintf("doctor: %v in %s", err, b.String()))
	}
	return string(formatted)
}

// given returns the options for what the target has: the header, the subprotocols and the login.
func (x *examination) given() (options []Option) {
	if len(x.Header) > 0 {
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(x.Header)) {
			env := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
			fields = append(fields, fmt.Sprintf("%q: {os.Getenv(%q)}", name, env))
		}
		options = append(options, Option{
			Code: "wechatws.WithHeader(http.Header{" + strings.Join(fields, ", ") + "})", imports: []string{"net/http", "os"},
		})
	}
	if len(x.Subprotocols) > 0 {
		options = append(options, withSubprotocols(x.Subprotocols...))
	}
	if x.TLS != nil {
		options = append(options, withTLS(x.TLS))
	}
	if x.OwnProxy {
		options = append(options, withProxy(x.proxy))
	}
	if x.Login != nil {
		options = append(options, Option{
			Code: `wechatws.WithLoginMessage(wechatws.Text(os.Getenv("WS_LOGIN")))`, imports: []string{"os"},
		})
	}
	return options
}

func withSubprotocols(names ...string) Option {
	return Option{
		Code: "wechatws.WithSubprotocols(" + strings.Join(quoted(names), ", ") + ")",
		sets: "WithSubprotocols", value: wechatws.WithSubprotocols(names...),
	}
}

func quoted(names []string) (list []string) {
	for _, name := range names {
		list = append(list, strconv.Quote(name))
	}
	return list
}

// withTLS returns WithTLSConfig for what a command line can ask for. Files are named as they are in the
// help.
func withTLS(c *tls.Config) Option {
	o := Option{imports: []string{"crypto/tls"}}
	code := "wechatws.WithTLSConfig(&tls.Config{\n"
	if c.RootCAs != nil {
		code += `	RootCAs: func() *x509.CertPool {
		pem, err := os.ReadFile("ca.pem") // the file of --tls-ca
		if err != nil {
			panic(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		return roots
	}(),
`
		o.imports = append(o.imports, "crypto/x509", "os")
	}
	if c.Certificates != nil {
		code += `	GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair("cert.pem", "key.pem") // the files of --tls-cert and --tls-key
		return &pair, err
	},
`
	}
	if c.ServerName != "" {
		code += fmt.Sprintf("\tServerName: %q,\n", c.ServerName)
	}
	if c.InsecureSkipVerify {
		code += "\tInsecureSkipVerify: true, // for a trial only\n"
	}
	o.Code = code + "})"
	return o
}

// withProxy returns WithProxy for a URL, whose user info is read from the environment.
func withProxy(p *url.URL) Option {
	switch {
	case p == nil:
		return Option{Code: "wechatws.WithProxy(nil)"}
	case p.User != nil:
		return Option{
			Code:    fmt.Sprintf("wechatws.WithProxy(http.ProxyURL(&url.URL{Scheme: %q, Host: %q, User: url.UserPassword(os.Getenv(\"PROXY_USER\"), os.Getenv(\"PROXY_PASSWORD\"))}))", p.Scheme, p.Host),
			imports: []string{"net/http", "net/url", "os"},
		}
	}
	return Option{
		Code:    fmt.Sprintf("wechatws.WithProxy(http.ProxyURL(&url.URL{Scheme: %q, Host: %q}))", p.Scheme, p.Host),
		imports: []string{"net/http", "net/url"},
	}
}
