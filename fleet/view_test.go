package fleet

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told is what a watch tells of a session's key; without a member it is gone.
func told(session string, m *member) *entry {
	if m == nil {
		return &entry{key: session, gone: true}
	}
	value, _ := json.Marshal(m)
	return &entry{key: session, value: value}
}

// Which of two workers with one name is the younger, all agree on, whatever they were the first
// to see. If each took the other for the younger, nobody would hold their rooms.
func TestTheYoungerIsTheSameForAll(t *testing.T) {
	now := time.Now()
	for name, since := range map[string]time.Time{"later": now.Add(time.Second), "at the same time": now} {
		elder := told("a", &member{Name: "w", Since: now})
		younger := told("b", &member{Name: "w", Since: since})
		for _, seen := range [][]*entry{{elder, younger}, {younger, elder}} {
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
	before := told("s", &member{Name: "w", Version: 1})
	after := told("s", &member{Name: "w", Version: 2, Draining: true})
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
	there, gone := told("s", &member{Name: "w"}), told("s", nil)
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
