package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/doctor"
)

// doctorFlags are the flags of doctor: those of the client that a connection needs, under their names,
// and its own.
type doctorFlags struct {
	client  clientFlags
	send    []string
	watch   time.Duration
	largest int
	without []string
	plan    bool
}

func newDoctor() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor URL",
		Short: "find out what a backend needs, and say it in options of the library",
		Long: `Doctor connects to a backend several times, and reports what it has found, with the call of
wechatws.New that fits. It first says how many connections and messages that takes at most; --plan says
only that. The exit code is 1 if a program could not connect, or not stay connected, and if that is
unknown, as the server has refused a connection with 429 or 503, for instance.

The checks are ` + strings.Join(doctor.Names(), ", ") + `.

` + secretHelp,
		Example: `  wechatws doctor wss://live.example.com/ws
  wechatws doctor wss://live.example.com/ws --login '{"msg_type":"login","token":"…"}' --json
  wechatws doctor wss://live.example.com/ws --plan`,
		Args:              exactly("URL"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              f.run,
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.BoolVar(&f.plan, "plan", false, "say what would be done, and connect to nothing")
	flags.DurationVar(&f.watch, "watch", 70*time.Second, "how long connections are watched for the limit of silence")
	flags.IntVar(&f.largest, "max-message", 1<<20, "the size of the largest message that is sent, in bytes")
	flags.StringArrayVar(&f.send, "send", nil, "a message to send after the login, to see how it is answered; may be given several times")
	flags.StringSliceVar(&f.without, "without", nil, "checks to leave out, such as size,silence")
	f.client.addConnecting(c)
	flags.StringVar(&f.client.heartbeat, "heartbeat", "", "the only heartbeat to try: a SECRET (default usual ones)")
	for _, flag := range []string{"watch", "max-message", "send", "heartbeat"} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
	}
	_ = c.RegisterFlagCompletionFunc("without", cobra.FixedCompletions(doctor.Names(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (f *doctorFlags) run(c *cobra.Command, args []string) error {
	t, err := f.target(args[0])
	if err != nil {
		return err
	}
	plan, err := doctor.NewPlan(t)
	if err != nil { // about what is given
		return usageError{inFlags(err)}
	}
	w := c.OutOrStdout()
	if asJSON(c) {
		err = writeJSON(w, map[string]any{"plan": plan})
	} else {
		err = plan.Write(w, t)
	}
	if err != nil || f.plan {
		return err
	}
	text := doctor.NewText(w)
	var broken error // of the output
	report, err := doctor.Examine(c.Context(), t, func(found doctor.Finding) {
		switch {
		case broken != nil:
		case asJSON(c):
			broken = writeJSON(w, map[string]any{"finding": found})
		default:
			broken = text.Finding(found)
		}
	})
	switch {
	case err != nil:
		return err
	case broken != nil:
		return broken
	case asJSON(c):
		err = writeJSON(w, map[string]any{"end": report.End})
	default:
		err = text.End(report.End)
	}
	switch {
	case err != nil:
		return err
	case c.Context().Err() != nil:
		return c.Context().Err()
	case len(report.Failed()) > 0:
		return fmt.Errorf("no client could connect, or stay connected: see %s", strings.Join(report.Failed(), ", "))
	case report.End.Broken != "":
		return fmt.Errorf("whether a client can stay connected is unknown: %s", report.End.Broken)
	}
	return nil
}

// target returns what is examined.
func (f *doctorFlags) target(url string) (t doctor.Target, err error) {
	var s setup
	if err := f.client.identify(&s); err != nil {
		return t, err
	}
	if url, err = urlOf(url); err != nil {
		return t, err
	}
	t = doctor.Target{
		URL: url, Header: s.header, Subprotocols: f.client.subprotocols, Secrets: s.secrets,
		Timeout: f.client.dialTimeout, Silence: f.watch, MaxMessage: f.largest, Without: f.without,
	}
	switch {
	case f.watch <= 0:
		return t, wrongFlag("watch", f.watch.String(), "must be above zero")
	case f.client.dialTimeout <= 0:
		return t, wrongFlag("dial-timeout", f.client.dialTimeout.String(), "must be above zero")
	case f.largest < 64:
		return t, wrongFlag("max-message", fmt.Sprint(f.largest), "must be 64 bytes or more")
	case slices.Contains(f.send, ""):
		return t, wrongFlag("send", "", "must be a message")
	}
	if s.login != "" {
		t.Login = []byte(s.login)
	}
	for _, m := range f.send {
		t.Send = append(t.Send, []byte(m))
	}
	if f.client.heartbeat != "" {
		heartbeat, err := secretOf("heartbeat", f.client.heartbeat)
		if err != nil {
			return t, err
		}
		t.Heartbeat = []byte(heartbeat)
	}
	if t.TLS, err = f.client.tls.config(); err != nil {
		return t, err
	}
	t.Proxy, err = f.client.proxyFunc(&s)
	t.OwnProxy = f.client.proxy != ""
	t.Secrets = s.secrets
	return t, err
}
