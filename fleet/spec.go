package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/names"
)

// A Spec is what a room is. All of it but the ID means what WorkerConfig.Connect makes of
// it; all of it can be read by whoever can read the fleet.
type Spec struct {
	// ID names the room in the fleet: 1 to 128 bytes, of any kind.
	ID string `json:"id"`
	// Endpoint is where to connect, usually a ws or wss URL. User info is refused, and
	// nothing secret should be in its query: see Secrets.
	Endpoint string `json:"endpoint,omitempty"`
	// IDs are what the backend knows the room and ourselves by.
	IDs map[string]string `json:"ids,omitempty"`
	// Options are settings by name.
	Options map[string]string `json:"options,omitempty"`
	// Secrets are references by name, such as env:LIVE_TOKEN or file:/run/secrets/live,
	// and never the secrets themselves. The worker looks them up; see Room.Secret.
	Secrets map[string]string `json:"secrets,omitempty"`
}

// longestID is the longest of names: NATS ends the connection of who uses a subject of 4 KiB.
const longestID = 128

// token is what a room is called in subjects and keys. What cannot be the ID of a room is none.
func token(room string) (string, error) {
	if room == "" || len(room) > longestID {
		return "", fmt.Errorf("%w: %.40q", ErrNoRoom, room)
	}
	return names.Token(room), nil
}

func (s Spec) check() error {
	if s.ID == "" || len(s.ID) > longestID {
		return wrong("Spec.ID", fmt.Sprint(len(s.ID), " bytes"), "must be 1 to 128 bytes")
	}
	if u, err := url.Parse(s.Endpoint); err != nil {
		return wrong("Spec.Endpoint", "(not told)", "must be a URL")
	} else if u.User != nil {
		return wrong("Spec.Endpoint", u.Scheme+"://"+u.Host, "must not have user info: everybody can read it; put a reference into Secrets")
	}
	for name, ref := range s.Secrets {
		if kind, rest, _ := strings.Cut(ref, ":"); kind == "" || rest == "" {
			return wrong("Spec.Secrets", name, "must be a reference such as env:NAME or file:/path, not the secret itself")
		}
	}
	return nil
}

// A Room is a room that this worker holds, as WorkerConfig.Connect gets it.
type Room struct {
	Spec
	// Fence is the number of this hold. It grows with each change of the holder.
	Fence uint64

	holding *holding
}

// NewClient is wechatws.New for this room: what the client receives goes into the fleet's
// stream, what the fleet is asked to send goes through it, and it can write nothing once the
// room may be somebody else's. WorkerConfig.Connect must make its client this way.
// Register callbacks on it, or make a liveroom.Room of it; do not connect or close it.
func (r *Room) NewClient(url string, options ...wechatws.Option) (*wechatws.Client, error) {
	return r.holding.newClient(url, options)
}

// Secret looks up the secret that the spec refers to by this name.
func (r *Room) Secret(ctx context.Context, name string) (string, error) {
	ref, ok := r.Secrets[name]
	if !ok {
		return "", fmt.Errorf("fleet: room %q has no secret %q", r.ID, name)
	}
	secret, err := r.holding.worker.cfg.Secret(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("fleet: secret %q of room %q: %w", name, r.ID, err)
	}
	return secret, nil
}

// LookUpSecret is the default for WorkerConfig.Secret: env:NAME is an environment variable,
// file:/path the content of a file without a newline at its end.
func LookUpSecret(_ context.Context, ref string) (string, error) {
	kind, name, _ := strings.Cut(ref, ":")
	switch kind {
	case "env":
		if s, ok := os.LookupEnv(name); ok {
			return s, nil
		}
		return "", fmt.Errorf("environment variable %s is not set", name)
	case "file":
		b, err := os.ReadFile(name)
		return strings.TrimSuffix(string(b), "\n"), err
	}
	return "", errors.New("the reference must be of the form env:NAME or file:/path")
}
