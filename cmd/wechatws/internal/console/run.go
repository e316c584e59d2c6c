// Package console is a terminal client for backends of the WeChat live-room kind: JSON text messages
// routed by a field. It shows what arrives, sends what the user types, and stays connected. On a
// terminal it takes the whole screen; otherwise it prints lines, or JSON.
package console

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/cmd/wechatws/internal/recording"
)

// A Config describes a session.
type Config struct {
	URL       string
	Endpoints []string // URLs of other servers of the same service
	Options   []wechatws.Option
	Secrets   []string // replaced wherever they would be shown

	Name             string        // the from_name of comments
	Room, Live, User string        // a live room to join; none if Room is empty
	For              time.Duration // the session ends after it; 0 is no limit
	Demo             bool          // connect to a small server in this process, and not to URL

	Plain bool // lines instead of the whole screen
	JSON  bool // lines of JSON

	Record    io.Writer // receives a recording of the session; nil is none
	Recording recording.Config
}

// Check returns the error of the client's options, as [wechatws.New] does.
func (c Config) Check() error {
	_, err := c.client()
	return err
}

// client returns the client, with these options besides Options.
func (c Config) client(options ...wechatws.Option) (*wechatws.Client, error) {
	options = append(slices.Clone(c.Options), options...)
	if len(c.Endpoints) == 0 {
		return wechatws.New(c.URL, options...)
	}
	urls := append([]string{c.URL}, c.Endpoints...)
	return wechatws.New("", append(options, wechatws.WithEndpoints(urls...))...)
}

// Commands has a line for each thing that a user may type.
func Commands() []string { return help }

// Run shows a session until the user or ctx ends it. Nothing but its entries is written to out.
func Run(ctx context.Context, c Config, in io.Reader, out io.Writer) error {
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	var demo *demoServer
	if c.Demo {
		demo = startDemo()
		defer demo.Close()
		c.URL, c.Options = demo.URL(), append(c.Options, demoOptions...)
	}
	s, err := newSession(c)
	if err != nil {
		return err
	}
	if !c.Plain && !c.JSON {
		if err := runScreen(ctx, s, out); err != nil {
			return err
		}
		return s.recordingErr()
	}
	ends := plainEnds{timed: c.For > 0}
	if demo != nil {
		ends.demo = demo.over
	}
	print := printEntries
	if c.JSON {
		print = printJSON
	}
	if err := runPlain(ctx, s, in, out, print, ends); err != nil {
		return err
	}
	return s.recordingErr()
}
