package fleet

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A told is what a watcher tells of a session's key.
type told struct {
	jetstream.KeyValueEntry
	session string
	member  *member // nil: it is gone
}

func (p told) Key() string   { return p.session }
func (p told) Value() []byte { b, _ := json.Marshal(p.member); return b }
func (p told) Operation() jetstream.KeyValueOp {
	if p.member == nil {
		return jetstream.KeyValuePurge
	}
	return jetstream.KeyValuePut
}

// Which of two workers with one name is the younger, all agree on, whatever they were the first
// to see. If each took the other for the younger, nobody would hold their rooms.
func TestTheYoungerIsTheSameForAll(t *testing.T) {
	now := time.Now()
	for name, since := range map[string]time.Time{"later": now.Add(time.Second), "at the same time": now} {
		elder := told{session: "a", member: &member{Name: "w", Since: now}}
		younger := told{session: "b", member: &member{Name: "w", Since: since}}
		for _, seen := range [][]told{{elder, younger}, {younger, elder}} {
			v := newView()
			for _, p := range seen {
				assert.True(t, v.seeSession(0, p), name)
			}
			candidates := v.candidates()
			require.Len(t, candidates, 1, name)
			assert.Equal(t, "b", candidates[0].session, name)
		}
	}
}

// A session's keys are written one after the other: what one tells may be older.
func TestAnOlderWordDoesNotCount(t *testing.T) {
	v := newView()
	before := told{session: "s", member: &member{Name: "w", Version: 1}}
	after := told{session: "s", member: &member{Name: "w", Version: 2, Draining: true}}
	assert.True(t, v.seeSession(0, before))
	assert.True(t, v.seeSession(1, after))
	assert.False(t, v.seeSession(2, before))
	assert.False(t, v.seeSession(0, after))
	assert.True(t, v.members["s"].Draining)
}

// A member is one for as long as a key of it is there. When none is, that does not tell that
// its session has ended.
func TestAMemberHasAKey(t *testing.T) {
	v := newView()
	there, gone := told{session: "s", member: &member{Name: "w"}}, told{session: "s"}
	assert.False(t, v.seeSession(0, gone))
	assert.True(t, v.seeSession(0, there))
	assert.False(t, v.seeSession(2, there))
	assert.False(t, v.seeSession(0, gone))
	assert.Contains(t, v.members, "s")
	assert.True(t, v.seeSession(2, gone))
	assert.Empty(t, v.members)
	assert.Empty(t, v.gone)
	assert.True(t, v.seeSession(1, there))
	assert.Contains(t, v.members, "s")
}
