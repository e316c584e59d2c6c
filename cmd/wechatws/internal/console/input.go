package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A verb is the kind of an action.
type verb int

const (
	nothing verb = iota
	say          // a comment
	raw          // JSON, as it is
	reconnect
	disconnect
	connect
	stats
	showHelp
	quit
)

// An action is a parsed line of input.
type action struct {
	verb verb
	text string // of say and raw
}

var commands = map[string]verb{
	"/reconnect": reconnect,
	"/close":     disconnect,
	"/connect":   connect,
	"/stats":     stats,
	"/help":      showHelp,
	"/quit":      quit,
}

var help = []string{
	`hello        a comment: {"msg_type":"message","content":"hello"}`,
	`{…}          a message of your own, sent as it is`,
	`//hello      a comment that starts with a slash`,
	`/reconnect   drop the connection, or cut a wait short, and try now`,
	`/close       close, and stay closed`,
	`/connect     open again after /close or a failure`,
	`/stats       what the client counts`,
	`/help        this`,
	`/quit        end the program; so does Ctrl-C`,
}

// parse parses one line of input.
func parse(line string) (action, error) {
	line = strings.TrimSpace(line)
	switch {
	case line == "":
		return action{}, nil
	case strings.HasPrefix(line, "//"): // a comment that starts with a slash
		return action{say, line[1:]}, nil
	case line[0] == '/':
		return parseCommand(line)
	case line[0] == '{':
		return parseJSON(line)
	}
	return action{say, line}, nil
}

func parseCommand(line string) (action, error) {
	name, rest, _ := strings.Cut(line, " ")
	v, known := commands[strings.ToLower(name)]
	switch {
	case !known:
		return action{}, fmt.Errorf("unknown command %q; /help lists the commands", name)
	case strings.TrimSpace(rest) != "":
		return action{}, fmt.Errorf("%s takes nothing after it", name)
	}
	return action{verb: v}, nil
}

func parseJSON(line string) (action, error) {
	if json.Valid([]byte(line)) {
		return action{raw, line}, nil
	}
	err := json.Unmarshal([]byte(line), new(json.RawMessage))
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return action{}, fmt.Errorf("not sent, not valid JSON at byte %d: %w", syntax.Offset, err)
	}
	return action{}, errors.New("not sent, not valid JSON")
}
