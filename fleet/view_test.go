package fleet

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told is what a watch reports about a session's key; without a member the key is gone.
func told(session string, m *member) *entry {
	if m == nil {
		return &entry{key: session, gone: true}
	}
	value, _ := json.Marshal(m)
	return &entry{key: session, value: value}
}

// Which of two workers with one name is the younger, all agree on, whatever they were the first
// to see. If each took the other for the younger, no worker would hold their rooms.
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

// A session's keys are written one after the other: the value of one may be older.
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

// A session is a member for as long as one of its keys exists. Without a key it has not certainly ended.
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

// Sessions that have ended are forgotten when no watcher can report them any more.
func TestAViewForgetsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newView()
		v.gone["a"] = time.Now()
		time.Sleep(tombstone)
		v.gone["b"] = time.Now()
		v.forget()
		assert.True(t, v.ended("a"))
		time.Sleep(time.Second)
		v.forget()
		assert.False(t, v.ended("a"))
		assert.True(t, v.ended("b"))
		assert.Len(t, v.gone, 1)
	})
}
