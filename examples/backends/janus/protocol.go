package main

import (
	"context"
	"errors"

	"github.com/wechatws/wechatws"
)

// A request is for Janus, for a session or, with a handle, for the plugin behind it.
type request struct {
	Janus       string          `json:"janus"`
	Transaction string          `json:"transaction"` // the id, which must be a string; the bot has one for each kind
	Session     uint64          `json:"session_id,omitempty"`
	Handle      uint64          `json:"handle_id,omitempty"`
	Plugin      string          `json:"plugin,omitempty"`
	Body        map[string]bool `json:"body,omitempty"`
}

// An answer has the id of what was made, or an error.
type answer struct {
	Data  struct{ ID uint64 }
	Error *struct{ Reason string }
}

// Err makes Call return the error of a request.
func (a answer) Err() error {
	if a.Error == nil {
		return nil
	}
	return errors.New(a.Error.Reason)
}

// attach returns the message for the plugin. It claims the session of the last one, whose handle is
// valid as long as it is, or makes another session.
func attach(ctx context.Context, o *wechatws.Setup, last *request) (*request, error) {
	if last != nil {
		claim := request{Janus: "claim", Transaction: "claim", Session: last.Session}
		if _, err := wechatws.Call[answer](ctx, o, claim); err == nil {
			return last, nil
		}
	}
	session, err := wechatws.Call[answer](ctx, o, request{Janus: "create", Transaction: "create"})
	if err != nil {
		return nil, err
	}
	handle, err := wechatws.Call[answer](ctx, o, request{Janus: "attach", Transaction: "attach", Session: session.Data.ID, Plugin: "janus.plugin.echotest"})
	return &request{Janus: "message", Transaction: "echo", Session: session.Data.ID, Handle: handle.Data.ID, Body: map[string]bool{"audio": true}}, err
}
