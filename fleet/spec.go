package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/names"
)

// A Spec describes a room. The function given to [Fleet.NewWorker] decides what all of it but the
// ID means. Every process with access to the fleet can read it. All of it but the ID must be UTF-8.
type Spec struct {
	// ID identifies the room in the fleet: 1 to 128 bytes, of any kind. In JSON, such as that of fleetctl, bytes that
	// are not UTF-8 become U+FFFD, so that IDs with such bytes may look the same.
	ID string `json:"id"`
	// Endpoint is the address of the room, usually a ws or wss URL. It must not have user info, and
	// its query should not contain secrets: see Secrets.
	Endpoint string `json:"endpoint,omitempty"`
	// IDs are those of the room and of the user in the backend, by name.
	IDs map[string]string `json:"ids,omitempty"`
	// Options are settings by name.
	Options map[string]string `json:"options,omitempty"`
	// Secrets are references by name, such as env:LIVE_TOKEN or credential:live-token, and never
	// the secrets themselves. The worker looks them up with the function of [WithSecrets]; see
	// [Room.Secret].
	Secrets map[string]string `json:"secrets,omitempty"`
}

// longestID is the maximum length of a room's ID and of a worker's name, in bytes: NATS closes a connection
// that uses a subject of 4 KiB.
const longestID = 128

// token returns the token of a room in subjects and keys, or ErrNoRoom if room cannot be the ID of a room.
func token(room string) (string, error) {
	if room == "" || len(room) > longestID {
		return "", fmt.Errorf("%w: %.40q", ErrNoRoom, room)
	}
	return names.Token(room), nil
}

// wantUTF8 is about text that is stored as JSON, which would make another one of it.
const wantUTF8 = "must be UTF-8"

func (s Spec) check() error {
	if s.ID == "" || len(s.ID) > longestID {
		return wrong("Spec.ID", fmt.Sprint(len(s.ID), " bytes"), "must be 1 to 128 bytes")
	}
	if u, err := url.Parse(s.Endpoint); err != nil {
		return wrong("Spec.Endpoint", hidden, "must be a URL")
	} else if u.User != nil {
		return wrong("Spec.Endpoint", u.Scheme+"://"+u.Host, "must not have user info, which every process of the fleet can read: put a reference into Secrets")
	}
	if !utf8.ValidString(s.Endpoint) {
		return wrong("Spec.Endpoint", hidden, wantUTF8)
	}
	for field, texts := range map[string]map[string]string{"Spec.IDs": s.IDs, "Spec.Options": s.Options, "Spec.Secrets": s.Secrets} {
		for name, text := range texts {
			if !utf8.ValidString(name) || !utf8.ValidString(text) {
				return wrong(field, quoted(name), wantUTF8)
			}
		}
	}
	for name, ref := range s.Secrets {
		if kind, rest, _ := strings.Cut(ref, ":"); kind == "" || rest == "" {
			return wrong("Spec.Secrets", quoted(name), "must be a reference such as env:NAME or file:/path, not the secret itself")
		}
	}
	return nil
}

// A Room is a room that this worker holds, as an argument of the function given to [Fleet.NewWorker].
type Room struct {
	Spec
	// Fence is the number of this hold. It grows with each change of the holder.
	Fence uint64

	holding *holding
}

// NewClient is [wechatws.New] for this room. The messages that the client receives are stored in the
// fleet's stream, messages to the room are sent with it, and it can write nothing once another
// worker may hold the room. The function given to [Fleet.NewWorker] must make its client this way.
// Register callbacks on the client, or make a liveroom.Room of it; do not connect or close it.
func (r *Room) NewClient(url string, options ...wechatws.Option) (*wechatws.Client, error) {
	return r.holding.newClient(url, options)
}

// Secret looks up the secret with this name among the references of [Spec.Secrets], with the function
// of [WithSecrets]. It returns an error if there is no such reference, or the function's.
func (r *Room) Secret(ctx context.Context, name string) (string, error) {
	ref, ok := r.Secrets[name]
	if !ok {
		return "", fmt.Errorf("fleet: room %q has no secret %q", r.ID, name)
	}
	secret, err := r.holding.worker.cfg.secrets(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("fleet: secret %q of room %q: %w", name, r.ID, err)
	}
	return secret, nil
}

// LookUpSecret returns a function for [WithSecrets] that looks up what the program permits, and
// nothing else:
//
//	env:LIVE_TOKEN       the environment variable LIVE_TOKEN
//	env:LIVE_*           all environment variables whose names begin with LIVE_
//	file:/run/live/key   this file
//	file:/run/live/      all files in this folder and below it; no symbolic link leads out of it
//	credential:token     the file token in the folder that $CREDENTIALS_DIRECTORY names, as systemd sets it
//	credential:live-*    all files in that folder whose names begin with live-
//
// A reference names one variable or file, in the same form. A file must be a regular one of at most 1 MiB. One
// newline at its end is left out. A permission of another form permits nothing.
func LookUpSecret(permitted ...string) func(ctx context.Context, ref string) (string, error) {
	return func(ctx context.Context, ref string) (string, error) {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		for _, p := range permitted {
			if secret, ok, err := lookUp(p, ref); ok {
				return secret, err
			}
		}
		return "", fmt.Errorf("%q is not permitted: permitted are %q", ref, permitted)
	}
}

// lookUp looks ref up if permission covers it, and reports whether it does.
func lookUp(permission, ref string) (secret string, ok bool, err error) {
	kind, may, _ := strings.Cut(permission, ":")
	asked, name, _ := strings.Cut(ref, ":")
	if asked != kind || name == "" || may == "" {
		return "", false, nil
	}
	prefix, many := strings.CutSuffix(may, "*")
	named := name == may || many && strings.HasPrefix(name, prefix)
	switch kind {
	case "env":
		if !named {
			return "", false, nil
		}
		secret, ok = os.LookupEnv(name)
		if !ok {
			err = fmt.Errorf("environment variable %s is not set", name)
		}
		return secret, true, err
	case "credential":
		folder := os.Getenv("CREDENTIALS_DIRECTORY")
		switch {
		case !named || strings.Contains(name, "/"):
			return "", false, nil
		case folder == "":
			return "", true, errors.New("environment variable CREDENTIALS_DIRECTORY is not set")
		}
		text, err := readBelow(folder, name)
		return strings.TrimSuffix(string(text), "\n"), true, err
	case "file":
		inside, below := strings.CutPrefix(name, may)
		var text []byte
		switch {
		case name == may:
			text, err = readSecret(os.OpenFile(name, readOnly, 0))
		case below && strings.HasSuffix(may, "/"):
			text, err = readBelow(may, inside)
		default:
			return "", false, nil
		}
		return strings.TrimSuffix(string(text), "\n"), true, err
	}
	return "", false, nil
}

// readBelow reads a file in a folder. Neither .. nor a symbolic link leads out of the folder.
func readBelow(folder, name string) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readSecret(root.OpenFile(name, readOnly, 0))
}

const (
	// readOnly does not wait for a program that writes into a pipe.
	readOnly      = os.O_RDONLY | syscall.O_NONBLOCK
	largestSecret = 1 << 20
)

// readSecret reads a file that was opened with readOnly.
func readSecret(f *os.File, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", f.Name())
	}
	text, err := io.ReadAll(io.LimitReader(f, largestSecret+1))
	if len(text) > largestSecret {
		return nil, fmt.Errorf("%s is larger than 1 MiB", f.Name())
	}
	return text, err
}
