package main

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/standin"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

type serveFlags struct {
	standin.Config
	preset   string
	quirks   liveroomtest.Quirks
	control  string
	certFile string
	runFor   time.Duration
	pings    bool
	given    func(name string) bool // a flag is on the command line
}

func newServe() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "stand in for a backend, show what it receives, and make faults",
		Long: `Serve stands in for a backend until Ctrl-C or q. It shows what it receives, in full: log in with
accounts for tests. A key makes a fault, ? lists the keys. In a pipe the commands are lines of input:

  ` + strings.Join(standin.Help(true), "\n  ") + `

The same commands are taken over HTTP, from this machine and not from pages in a browser:

  curl -d 'close 4000 kicked' http://127.0.0.1:9528`,
		Example: `  wechatws serve --like gatewayworker --json
  wechatws serve --no-echo --kick-after 30s
  (echo 'refuse 503 2'; sleep 5; echo cut) | wechatws serve --backend echo --for 10s`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              f.run,
	}
	flags := c.Flags()
	f.given = flags.Changed
	flags.SortFlags = false
	flags.StringVar(&f.Kind, "backend", standin.LiveRoom, "the backend: liveroom, echo (returns each message), or silent")
	flags.StringVar(&f.Addr, "addr", "127.0.0.1:9527", "the address to listen on; 0.0.0.0:9527 is for phones too")
	flags.BoolVar(&f.TLS, "tls", false, "serve wss, with a new certificate for localhost")
	flags.StringVar(&f.certFile, "tls-ca-out", "", "write the certificate to this file, as PEM, for clients to trust")
	flags.StringVar(&f.control, "control", "127.0.0.1:9528", "the address for commands over HTTP, of this machine only, or none")
	flags.DurationVar(&f.runFor, "for", 0, "end after this time (default never)")
	flags.BoolVar(&f.pings, "pings", false, "show protocol pings, too")
	flags.StringVar(&f.preset, "like", "plain", "the quirks to begin with: plain or gatewayworker")
	standin.QuirkFlags(flags, &f.quirks)
	for _, flag := range append(standin.QuirkNames(), "addr", "for") {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
	}
	_ = c.RegisterFlagCompletionFunc("control", cobra.FixedCompletions([]string{"none"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("backend", cobra.FixedCompletions(standin.Kinds(), cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("like", cobra.FixedCompletions(presets(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func presets() (names []string) {
	for name := range standin.Presets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// check checks the flags, and completes the configuration.
func (f *serveFlags) check(c *cobra.Command) error {
	preset, known := standin.Presets[f.preset]
	switch {
	case !slices.Contains(standin.Kinds(), f.Kind):
		return wrongFlag("backend", f.Kind, "must be "+strings.Join(standin.Kinds(), ", "))
	case !known:
		return wrongFlag("like", f.preset, "must be "+strings.Join(presets(), ", "))
	case f.runFor < 0:
		return wrongFlag("for", f.runFor.String(), "must be zero or longer")
	case f.certFile != "" && !f.TLS:
		return usage("--tls-ca-out is of no use without --tls")
	}
	if f.control != "none" {
		if err := standin.CheckControl(f.control); err != nil {
			return wrongFlag("control", f.control, err.Error())
		}
	}
	if f.Kind != standin.LiveRoom {
		for _, flag := range append(standin.QuirkNames(), "like") {
			if f.given(flag) {
				return usage("--%s is for --backend %s only", flag, standin.LiveRoom)
			}
		}
	}
	f.Quirks = standin.Quirks(preset(), c.Flags(), &f.quirks)
	return nil
}

func (f *serveFlags) run(c *cobra.Command, _ []string) error {
	if err := f.check(c); err != nil {
		return err
	}
	ctx := c.Context()
	if f.runFor > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.runFor)
		defer cancel()
	}
	keys, restore := rawTerminal(c)
	defer restore()
	f.Log = &standin.Log{Out: c.OutOrStdout(), JSON: asJSON(c), Pings: f.pings}
	if keys {
		f.Log.Out = terminalLines{f.Log.Out}
	}
	var control net.Listener
	if f.control != "none" {
		var err error
		if control, err = net.Listen("tcp", f.control); err != nil {
			return err
		}
		defer control.Close()
	}
	b, err := standin.Start(f.Config)
	if err != nil {
		return err
	}
	defer b.Close()
	if f.certFile != "" {
		block := &pem.Block{Type: "CERTIFICATE", Bytes: b.Server().Certificate().Raw}
		if err := os.WriteFile(f.certFile, pem.EncodeToMemory(block), 0o644); err != nil {
			return wrongFlag("tls-ca-out", f.certFile, err.Error())
		}
	}
	return f.serve(ctx, c.InOrStdin(), b, control, keys)
}

// serve runs commands until ctx, a key or a line ends it.
func (f *serveFlags) serve(ctx context.Context, in io.Reader, b *standin.Backend, control net.Listener, keys bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	line := standin.Line{Event: "listening", URL: b.Server().URL()}
	served := make(chan error, 1)
	if control == nil {
		served <- nil
	} else {
		line.Control = "http://" + control.Addr().String()
		go func() {
			served <- b.Control(ctx, control)
			cancel()
		}()
	}
	f.Log.Write(line)
	go func() { // not waited for: it may block in a Read for ever
		read := b.Lines
		if keys {
			read = b.Keys
		}
		if read(in) {
			cancel()
		}
	}()
	<-ctx.Done()
	return <-served
}

// rawTerminal makes the terminal of a command deliver keys, if it has one. restore undoes it.
func rawTerminal(c *cobra.Command) (raw bool, restore func()) {
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !isTerminal(in) || !isTerminal(c.OutOrStdout()) {
		return false, func() {}
	}
	state, err := term.MakeRaw(in.Fd())
	if err != nil {
		return false, func() {}
	}
	return true, func() { _ = term.Restore(in.Fd(), state) }
}

// terminalLines writes to a raw terminal, on which a newline does not return to the first column.
type terminalLines struct{ io.Writer }

func (t terminalLines) Write(p []byte) (int, error) {
	_, err := io.WriteString(t.Writer, strings.ReplaceAll(string(p), "\n", "\r\n"))
	return len(p), err
}
