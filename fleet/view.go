package fleet

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/wechatws/wechatws/fleet/internal/names"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// Keys in the bucket of rooms, beside settledKey and boundingKey.
const (
	specPrefix = "room." // + room: a Spec
	pinPrefix  = "pin."  // + room: the name of the worker that it was moved to
)

// A member is a worker's session, as it tells of itself.
type member struct {
	Name     string    `json:"name"`
	Host     string    `json:"host,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since"`
	Draining bool      `json:"draining,omitempty"`
	Settling bool      `json:"settling,omitempty"` // it takes no rooms yet
	// Version grows with each change. The session's keys are not written at once: what one
	// of them tells may be older than what another one has told.
	Version int `json:"version"`

	session string
	hash    uint64 // of Name
	keys    uint8  // a bit for each bucket of leases that has its key
}

// A claim says whose a room is: it is held by that session for as long as it lives.
type claim struct {
	Session string    `json:"session"` // empty: free
	Worker  string    `json:"worker,omitempty"`
	Since   time.Time `json:"since,omitzero"`

	rev  uint64 // the fence; also of a claim that was deleted
	kept bool   // the bucket has it
}

// A place is what is known of one room.
type place struct {
	id      string
	token   string
	hash    uint64
	spec    *Spec // nil: there is no such room
	specRev uint64
	pin     string // the name of a worker, or empty
	claim   claim

	// What follows is a worker's own.
	best    *member  // the worker that should hold it
	held    *holding // ours
	busy    bool     // a claim or a release is under way
	leaving bool     // it waits for its turn to be handed over
}

// A view is what the buckets say, as far as their watchers have told.
type view struct {
	members map[string]*member // those that have a key, by session
	gone    map[string]bool    // sessions that have ended for sure
	places  map[string]*place  // by token
	rooms   int                // how many of these have a spec
}

func newView() view {
	return view{members: map[string]*member{}, gone: map[string]bool{}, places: map[string]*place{}}
}

// place is the one for a token, made when it is new; nil for what is not a token.
func (v *view) place(token string) *place {
	if p := v.places[token]; p != nil {
		return p
	}
	id, err := names.Text(token)
	if err != nil {
		return nil
	}
	p := &place{id: id, token: token, hash: placement.Hash(id)}
	v.places[token] = p
	return p
}

// seeClaim takes a change in the bucket of claims, and returns the place that it is about.
func (v *view) seeClaim(e *entry) *place {
	p := v.place(e.key)
	if p == nil || e.rev <= p.claim.rev {
		return nil // an answer has told already
	}
	var c claim
	if !e.gone {
		_ = json.Unmarshal(e.value, &c) // what cannot be read is free
	}
	c.rev, c.kept = e.rev, !e.gone
	p.claim = c
	return p
}

// seeSession takes a change in one of the buckets of leases, and reports whether the members have
// changed. One without a key is not in gone: see Fleet.ended.
func (v *view) seeSession(bucket int, e *entry) (changed bool) {
	was := v.members[e.key]
	bit := uint8(1) << bucket
	if e.gone {
		if was == nil {
			return false
		}
		if was.keys &^= bit; was.keys == 0 {
			delete(v.members, e.key)
		}
		return was.keys == 0
	}
	m := &member{}
	if json.Unmarshal(e.value, m) != nil {
		return false
	}
	if was != nil {
		was.keys |= bit
		if m.Version <= was.Version {
			return false
		}
		bit = was.keys
	}
	m.session, m.hash, m.keys = e.key, placement.Hash(m.Name), bit
	v.members[e.key] = m
	return true
}

// seeRoom takes a change in the bucket of rooms, and returns the place that it is about.
func (v *view) seeRoom(e *entry) *place {
	if token, ok := strings.CutPrefix(e.key, specPrefix); ok {
		p := v.place(token)
		if p == nil {
			return nil
		}
		if p.spec != nil {
			v.rooms--
		}
		p.spec, p.specRev = nil, e.rev
		if s := (&Spec{}); !e.gone && json.Unmarshal(e.value, s) == nil {
			s.ID = p.id // JSON has no bytes of any kind
			p.spec = s
			v.rooms++
		}
		return p
	}
	if token, ok := strings.CutPrefix(e.key, pinPrefix); ok {
		p := v.place(token)
		if p == nil {
			return nil
		}
		p.pin = ""
		if !e.gone {
			p.pin = string(e.value)
		}
		return p
	}
	return nil
}

// candidates are the members that rooms may be placed on: those that take rooms and do not
// drain, and of several with one name the youngest. All workers must agree on which that is.
func (v *view) candidates() []*member {
	byName := map[string]*member{}
	for _, m := range v.members {
		if m.Settling { // an older one of its name goes on
			continue
		}
		if other := byName[m.Name]; other == nil || cmp.Or(m.Since.Compare(other.Since), cmp.Compare(m.session, other.session)) > 0 {
			byName[m.Name] = m
		}
	}
	list := make([]*member, 0, len(byName))
	for _, m := range byName {
		if !m.Draining {
			list = append(list, m)
		}
	}
	return list
}

// A field is what rooms are placed on.
type field struct {
	members []*member
	hashes  []uint64
	byName  map[string]*member
}

func newField(members []*member) field {
	f := field{members: members, byName: map[string]*member{}}
	for _, m := range members {
		f.hashes = append(f.hashes, m.hash)
		f.byName[m.Name] = m
	}
	return f
}

// best returns the worker that should hold a room, or nil.
func (f field) best(p *place) *member {
	if m := f.byName[p.pin]; m != nil {
		return m
	}
	if i := placement.Best(p.hash, f.hashes); i >= 0 {
		return f.members[i]
	}
	return nil
}
