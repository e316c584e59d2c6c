package liveroom

import (
	"fmt"
	"log/slog"

	"github.com/wechatws/wechatws/internal/printable"
)

// String returns the room's id and whether this member has joined it, such as "room 9527,
// joined". A Room prints and logs nothing else, since its messages may be secret.
func (r *Room) String() string {
	id, joined := r.shown()
	if !joined {
		return fmt.Sprintf("room %s, not joined", id)
	}
	return fmt.Sprintf("room %s, joined", id)
}

// Format implements [fmt.Formatter], with what String returns for all verbs.
func (r *Room) Format(s fmt.State, verb rune) {
	printable.Format(s, verb, "liveroom.Room", r.String())
}

// LogValue implements [slog.LogValuer], with a group of the attributes room and joined.
func (r *Room) LogValue() slog.Value {
	id, joined := r.shown()
	return slog.GroupValue(slog.String("room", id), slog.Bool("joined", joined))
}

func (r *Room) shown() (id string, joined bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return printable.Text(r.cfg.RoomID.String()), r.state.Joined
}

// GoString implements [fmt.GoStringer], with the text of Error.
func (e JoinError) GoString() string { return "&liveroom.JoinError(" + e.Error() + ")" }

// MarshalText implements [encoding.TextMarshaler], with the text of Error.
func (e JoinError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }
