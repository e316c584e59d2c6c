package liveroom

import (
	"context"
	"slices"
	"sync"
)

// maxPaced is how many calls wait for [WithCommentRate].
const maxPaced = 100

// A pace sends the comments of a room at the rate of [WithCommentRate]. A comment keeps its permit until
// a second after it is written, however long it has waited in the client's queue, and whether or not it
// is confirmed then.
type pace struct {
	room  *Room
	limit *limit // nil: there is none
	turn  *limit // of SayConfirmed: the client writes its comments one after the other

	mu   sync.Mutex // guards held, and queued of the actions
	held []*action  // have a permit, and are not written
}

// do calls send, which sends a, with a permit.
func (p *pace) do(ctx context.Context, a *action, send func() error) error {
	if p.limit == nil || ctx == nil { // send reports the nil
		return send()
	}
	p.releaseDropped()
	if err := p.limit.take(ctx, new(place), false); err != nil {
		return err
	}
	p.mu.Lock()
	p.held = append(p.held, a)
	p.mu.Unlock()
	err := send()
	if err != nil {
		p.release(a)
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a.queued = true
	return nil
}

// inTurn calls confirm when no other one is being confirmed, so that only one that is the next to be
// written waits with a permit.
func (p *pace) inTurn(ctx context.Context, confirm func() error) error {
	if p.limit == nil {
		return confirm()
	}
	if err := p.turn.take(ctx, new(place), false); err != nil {
		return err
	}
	defer p.turn.give()
	return confirm()
}

// release gives the permit of a back in a second. It is called when a is written, or will not be.
func (p *pace) release(a *action) {
	p.releaseIf(func(other *action) bool { return other == a })
}

// releaseDropped gives back the permits of comments that were dropped from the queue: it is empty.
func (p *pace) releaseDropped() {
	if p.room.client.Stats().Queued == 0 {
		p.releaseIf(func(a *action) bool { return a.queued })
	}
}

// end is called when the client has ended with err, which hands back what is in the queue, and with nil
// when it has not.
func (p *pace) end(err error) {
	if err != nil {
		p.releaseIf(func(*action) bool { return true })
	}
	p.limit.end(err)
	p.turn.end(err)
}

func (p *pace) releaseIf(fits func(*action) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = slices.DeleteFunc(p.held, func(a *action) bool {
		if !fits(a) {
			return false
		}
		p.limit.giveLater()
		return true
	})
}
