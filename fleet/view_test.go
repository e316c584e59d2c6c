package fleet

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A put is what a watcher tells of a session's key.
type put struct {
	jetstream.KeyValueEntry
	session string
	told    member
	rev     uint64
}

func (p put) Key() string                     { return sessionPrefix + p.session }
func (p put) Operation() jetstream.KeyValueOp { return jetstream.KeyValuePut }
func (p put) Revision() uint64                { return p.rev }
func (p put) Value() []byte                   { b, _ := json.Marshal(p.told); return b }

// Which of two workers with one name is the younger, all agree on: one that has looked from the
// beginning, and one for which the elder has renewed since. If each took the other for the
// younger, nobody would hold their rooms.
func TestTheYoungerIsTheSameForAll(t *testing.T) {
	first := put{session: "elder", told: member{Name: "a"}, rev: 1}
	second := put{session: "younger", told: member{Name: "a"}, rev: 10}
	renewed := put{session: "elder", told: member{Name: "a", Joined: 1}, rev: 11}
	again := put{session: "younger", told: member{Name: "a", Joined: 10}, rev: 12}
	for name, seen := range map[string][]put{
		"from the beginning":  {first, second, renewed, again},
		"when it was renewed": {second, renewed},
		"the other way round": {renewed, again},
		"both renewed":        {again, renewed},
	} {
		v := newView()
		for _, p := range seen {
			v.seeLease(p)
		}
		candidates := v.candidates()
		require.Len(t, candidates, 1, name)
		assert.Equal(t, "younger", candidates[0].session, name)
	}
}
