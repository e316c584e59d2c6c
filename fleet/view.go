package fleet

import (
	"cmp"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/wechatws/wechatws/fleet/internal/names"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// Keys in the bucket of rooms, beside settledKey.
const (
	claimPrefix = "claim." // + shard: a claim
	roomPrefix  = "room."  // + shard + "." + room: a record
)

func claimKey(shard int) string { return claimPrefix + strconv.Itoa(shard) }

// roomKey returns the key of a room of a shard; token may be *.
func roomKey(shard int, token string) string {
	return roomPrefix + strconv.Itoa(shard) + "." + token
}

// A record is the value of a room's key.
type record struct {
	Spec
	Pin    string `json:"pin,omitempty"` // the name of the worker that it was moved to
	Change string `json:"change"`        // another one with each change of the spec
	Added  uint64 `json:"added"`         // a revision that the bucket had when the room was added
}

// A member is the value of the keys of a worker's session.
type member struct {
	Name     string    `json:"name"`
	Host     string    `json:"host,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since"`
	Rooms    int       `json:"rooms"` // that it holds, when this was written
	Draining bool      `json:"draining,omitempty"`
	Settling bool      `json:"settling,omitempty"` // it takes no rooms yet
	Full     bool      `json:"full,omitempty"`     // it keeps its shards, and takes no others
	// Version grows with each change of the fields but Rooms. The session's keys are not written at the
	// same time: the value of one may be older than that of another.
	Version int `json:"version"`

	session string
	hash    uint64 // of Name
	keys    uint8  // a bit for each bucket of leases that has its key
}

// A listing is what is known about one room of a shard.
type listing struct {
	id, token string
	record    *record // nil: there is no such room
	rev       uint64  // of the record, or of the marker that it was deleted

	// The following fields are used by workers only.
	held *holding // of this worker
	busy bool     // it is being closed
}

// A shard has what is known about one shard, and about its rooms: of a worker, those of shards of which it
// holds some.
type shard struct {
	n     int
	hash  uint64
	claim claim
	rooms map[string]*listing // by token

	// The following fields are used by workers only.
	best    *member // the worker that should hold it
	part    *part   // nil: this worker holds none of its rooms
	force   bool    // a new marker is needed before rooms are held
	busy    bool    // the claim is being written, or the shard is being read
	leaving bool    // rooms of it wait to be handed over
	refused bool    // it has too many rooms for this worker
	unheld  bool    // no session that is a member holds it
}

// A view has the contents of the buckets, as far as their watchers have reported them.
type view struct {
	members map[string]*member   // those that have a key, by session
	gone    map[string]time.Time // when sessions were found to have certainly ended
	shards  map[int]*shard       // those that have a claim or a room
}

func newView() view {
	return view{members: map[string]*member{}, gone: map[string]time.Time{}, shards: map[int]*shard{}}
}

// shard returns a shard, which it makes if it is new, or nil if n is not the number of one.
func (v *view) shard(number string) *shard {
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= mostShards {
		return nil
	}
	s := v.shards[n]
	if s == nil {
		s = &shard{n: n, hash: placement.HashOf(n), rooms: map[string]*listing{}}
		v.shards[n] = s
	}
	return s
}

// room returns the room with a token, which it makes if it is new, or nil if token is not a token.
func (s *shard) room(token string) *listing {
	if l := s.rooms[token]; l != nil {
		return l
	}
	id, err := names.Text(token)
	if err != nil {
		return nil
	}
	l := &listing{id: id, token: token}
	s.rooms[token] = l
	return l
}

// fence returns the number of a hold on a room that begins now. It is above those of all former holds: the
// last of them began before the claim was written, or the room was added.
func (s *shard) fence(l *listing) uint64 { return max(s.claim.rev, l.record.Added) }

// see adds a change in the bucket of rooms, and returns the shard that it is about.
func (v *view) see(e *entry) *shard {
	if number, ok := strings.CutPrefix(e.key, claimPrefix); ok {
		if s := v.shard(number); s != nil && s.learn(parseClaim(e.value, s.n, e.rev)) {
			return s
		}
		return nil
	}
	if s, token := v.room(e.key); s != nil && s.see(token, e) {
		return s
	}
	return nil
}

// room returns the shard and the token of a room's key, or nil if it is no such key.
func (v *view) room(key string) (s *shard, token string) {
	rest, ok := strings.CutPrefix(key, roomPrefix)
	number, token, _ := strings.Cut(rest, ".")
	if !ok {
		return nil, ""
	}
	return v.shard(number), token
}

// see adds a change of a room's record, and reports whether it is news.
func (s *shard) see(token string, e *entry) bool {
	l := s.room(token)
	if l == nil || e.rev <= l.rev {
		return false
	}
	l.record, l.rev = nil, e.rev
	if !e.gone {
		l.record = parseRecord(e.value, l.id)
	}
	return true
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
			if m.Version == was.Version {
				was.Rooms = m.Rooms
			}
			return false
		}
		bit = was.keys
	}
	m.session, m.hash, m.keys = e.key, placement.Hash(m.Name), bit
	v.members[e.key] = m
	return true
}

// ended reports whether a session has certainly ended.
func (v *view) ended(session string) bool { return !v.gone[session].IsZero() }

// forget drops sessions that ended so long ago that no watcher can report a key of one any more.
func (v *view) forget() {
	maps.DeleteFunc(v.gone, func(_ string, found time.Time) bool { return time.Since(found) > tombstone })
}

// candidates returns the members that shards may be placed on: those that are neither settling nor
// draining, and of several with one name the youngest. All workers must choose the same one.
func (v *view) candidates() []*member {
	byName := map[string]*member{}
	for _, m := range v.members {
		// While one is settling, an older one of the same name keeps its rooms. A watcher that is late may
		// report one that has ended.
		if m.Settling || v.ended(m.session) {
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

// A field has the members that shards are placed on.
type field struct {
	all, free list // free: those that are not full
	byName    map[string]*member
}

// A list has members, and the hashes of their names.
type list struct {
	members []*member
	hashes  []uint64
}

func (l *list) add(m *member) {
	l.members, l.hashes = append(l.members, m), append(l.hashes, m.hash)
}

// best returns the member with the highest score for a shard, or nil.
func (l *list) best(s *shard) *member {
	if i := placement.Best(s.hash, l.hashes); i >= 0 {
		return l.members[i]
	}
	return nil
}

func newField(members []*member) field {
	f := field{byName: map[string]*member{}}
	for _, m := range members {
		f.byName[m.Name] = m
		if f.all.add(m); !m.Full {
			f.free.add(m)
		}
	}
	return f
}

// best returns the worker that should hold a shard, or nil. One that is full holds no other shards than it
// has.
func (f *field) best(s *shard) *member {
	m := f.all.best(s)
	if m != nil && m.Full && s.claim.Session != m.session {
		m = f.free.best(s)
	}
	return m
}
