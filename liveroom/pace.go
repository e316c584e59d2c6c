package liveroom

import (
	"context"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

// maxPaced is how many calls wait for [WithCommentRate].
const maxPaced = 100

// A pace sends the comments of a room at the rate of [WithCommentRate]. A comment that waits in the
// client's queue keeps its permit until a second after the queue is empty: only then is it known that
// the comment was written more than a second ago.
type pace struct {
	room  *Room
	limit *limit // nil: there is none

	mu     sync.Mutex
	parked int // permits that are kept until there is a connection
}

// do calls send with a permit.
func (p *pace) do(ctx context.Context, send func() error) error {
	if p.limit == nil || ctx == nil { // send reports the nil
		return send()
	}
	if err := p.limit.take(ctx, new(place), false); err != nil {
		return err
	}
	defer p.settle()
	return send()
}

// settle gives a permit back a second after the client's queue is empty. It looks at the queue from
// time to time, but not while there is no connection.
func (p *pace) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch state := p.room.client.State(); {
	case p.room.client.Stats().Queued == 0:
		p.limit.giveLater()
	case state == wechatws.StateOpen:
		time.AfterFunc(p.limit.per/4, p.settle)
	case state == wechatws.StateConnecting:
		time.AfterFunc(p.limit.per, p.settle)
	default:
		p.parked++
	}
}

// connected is called on each new connection, before it is open.
func (p *pace) connected() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.parked {
		time.AfterFunc(p.limit.per/4, p.settle)
	}
	p.parked = 0
}
