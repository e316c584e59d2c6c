package fleet

import (
	"cmp"
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

// A member is the value of the keys of a worker's session.
type member struct {
	Name     string    `json:"name"`
	Host     string    `json:"host,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since"`
	Draining bool      `json:"draining,omitempty"`
	Settling bool      `json:"settling,omitempty"` // it takes no rooms yet
	// Version grows with each change. The session's keys are not written at the same time: the value
	// of one may be older than that of another.
	Version int `json:"version"`

	session string
	hash    uint64 // of Name
	keys    uint8  // a bit for each bucket of leases that has its key
}

// A claim names the session that holds a room for as long as the session lives.
type claim struct {
	Session string    `json:"session"` // empty: free
	Worker  string    `json:"worker,omitempty"`
	Since   time.Time `json:"since,omitzero"`

	rev  uint64 // the fence; also of a claim that was deleted
	kept bool   // the bucket has the key
}

// A place has what is known about one room.
type place struct {
	id      string
	token   string
	hash    uint64
	spec    *Spec // nil: there is no such room
	specRev uint64
	pin     string // the name of a worker, or empty
	claim   claim

	// The following fields are used by workers only.
	best    *member  // the worker that should hold it
	held    *holding // of this worker
	busy    bool     // a claim or a release is under way
	leaving bool     // it waits to be handed over
}

// A view has the contents of the buckets, as far as their watchers have reported them.
type view struct {
	members map[string]*member // those that have a key, by session
	gone    map[string]bool    // sessions that have certainly ended
	places  map[string]*place  // by token
	rooms   int                // how many of these have a spec
}

func newView() view {
	return view{members: map[string]*member{}, gone: map[string]bool{}, places: map[string]*place{}}
}

// place returns the place for a token, which it makes if it is new, or nil if token is not a token.
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

// seeClaim adds a change in the bucket of claims, and returns the place that it is about.
func (v *view) seeClaim(e *entry) *place {
	p := v.place(e.key)
	if p == nil || e.rev <= p.claim.rev {
		return nil // known already, from the answer to a write
	}
	var c claim
	if !e.gone {
		c = parseClaim(e.value)
	}
	c.rev, c.kept = e.rev, !e.gone
	p.claim = c
	return p
}

// seeSession adds a change in one of the buckets of leases, and reports whether the members have
// changed. A session without a key is not added to gone: see Fleet.ended.
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
	m := parseMember(e.value)
	if m == nil {
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

// seeRoom adds a change in the bucket of rooms, and returns the place that it is about.
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
		if s := parseSpec(e.value, p.id); !e.gone && s != nil {
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

// candidates returns the members that rooms may be placed on: those that are neither settling nor
// draining, and of several with one name the youngest. All workers must choose the same one.
func (v *view) candidates() []*member {
	byName := map[string]*member{}
	for _, m := range v.members {
		if m.Settling { // meanwhile an older one of the same name keeps its rooms
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

// A field has the members that rooms are placed on.
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
