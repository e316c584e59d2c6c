package liveroom

import (
	"time"

	"github.com/wechatws/wechatws"
)

// RoomsStats is a snapshot of [Rooms]. Each room is counted in Rooms, and in one of the fields behind
// it, except while it is being added or removed.
type RoomsStats struct {
	Rooms   int `json:"rooms"`
	Joined  int `json:"joined"`  // connected, and in the room
	Joining int `json:"joining"` // an attempt is under way
	Waiting int `json:"waiting"` // for a turn, see WithJoinRate
	Away    int `json:"away"`    // waiting for the next attempt, or for the network
	Ended   int `json:"ended"`   // failed permanently, or closed by Room.Leave or a method of the client

	// AwaySince is since when the room has not been open for which that is longest; zero if all
	// are open. Ended rooms are not considered.
	AwaySince time.Time `json:"away_since,omitzero"`
}

// Stats returns a snapshot. It does not block, and costs some hundred nanoseconds a room.
func (rs *Rooms) Stats() (s RoomsStats) {
	for room := range rs.All() {
		s.Rooms++
		state, ended := room.client.State(), false
		switch room.mu.Lock(); {
		case state == wechatws.StateOpen && room.state.Joined:
			s.Joined++
		case state == wechatws.StateClosed, state == wechatws.StateFailed:
			s.Ended++
			ended = true
		case state == wechatws.StateWaiting, state == wechatws.StateOffline:
			s.Away++
		case room.turns.isWaiting():
			s.Waiting++
		default:
			s.Joining++
		}
		room.mu.Unlock()
		if ended || state == wechatws.StateOpen {
			continue
		}
		if since := room.client.Stats().AwaySince; s.AwaySince.IsZero() || !since.IsZero() && since.Before(s.AwaySince) {
			s.AwaySince = since
		}
	}
	return s
}
