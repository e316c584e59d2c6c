package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/wechatws/wechatws"
)

// A command is for the browser or, with a session, for the tab that is attached to it.
type command struct {
	ID      int    `json:"id,omitempty"` // 0: Call adds one
	Session string `json:"sessionId,omitempty"`
	Method  string `json:"method"`
	Params  params `json:"params,omitempty"`
}

type params map[string]any

const titleID = 1

// askTitle returns the command that evaluates the title of the page. All answers to it have the same id.
func askTitle(session string) command {
	return command{ID: titleID, Session: session, Method: "Runtime.evaluate", Params: params{"expression": "document.title"}}
}

// An answer has an error, or some of these fields in its result.
type answer struct {
	ID     int
	Result struct {
		TargetID  string
		SessionID string
		Result    struct{ Value string }
	}
	Error *struct{ Message string }
}

// Err makes Call return the error of a command.
func (a answer) Err() error {
	if a.Error == nil {
		return nil
	}
	return errors.New(a.Error.Message)
}

// A consoleEvent is what a page has written to its console at once.
type consoleEvent struct {
	Params struct {
		Args []struct {
			Value       any
			Description string // of an object, which has no value
		}
	}
}

// String returns the arguments as the console shows them.
func (e consoleEvent) String() string {
	var texts []string
	for _, arg := range e.Params.Args {
		if arg.Description == "" {
			arg.Description = fmt.Sprint(arg.Value)
		}
		texts = append(texts, wechatws.Printable(arg.Description))
	}
	return strings.Join(texts, " ")
}

// browser returns a function that asks for the URL of the browser's DevTools before each attempt:
// it is another one when the browser was started again.
func browser(url string) func(context.Context, int, error) (wechatws.Endpoint, error) {
	return func(ctx context.Context, _ int, _ error) (e wechatws.Endpoint, err error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/json/version", nil)
		if err != nil {
			return e, wechatws.Permanent(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return e, err
		}
		defer response.Body.Close()
		var version struct{ WebSocketDebuggerURL string }
		err = json.NewDecoder(response.Body).Decode(&version)
		return wechatws.Endpoint{URL: version.WebSocketDebuggerURL}, err
	}
}
