package fleet

import (
	"context"
	"sync"
)

// A gate admits one goroutine at a time, such as one that waits for an answer of NATS. Unlike that of a
// [sync.Mutex], the wait of the others ends with their context. The zero value is open.
type gate struct {
	made  sync.Once
	taken chan struct{} // has the goroutine that was admitted
}

// enter waits until the gate is open, or returns the error of ctx. After nil, the caller must call leave.
func (g *gate) enter(ctx context.Context) error {
	g.made.Do(func() { g.taken = make(chan struct{}, 1) })
	select {
	case g.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) leave() { <-g.taken }
