package fleet

import "sync"

// A pool runs functions on a number of goroutines at most, in the order in which they were given. The zero
// pool must be given its maximum.
type pool struct {
	most int

	mu      sync.Mutex
	running int
	waiting []func()
}

// run runs fn, and does not wait for it.
func (p *pool) run(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == p.most {
		p.waiting = append(p.waiting, fn)
		return
	}
	p.running++
	go p.work(fn)
}

func (p *pool) work(fn func()) {
	for fn != nil {
		fn()
		fn = p.next()
	}
}

// next returns the function that has waited longest, or nil if none waits: the goroutine ends.
func (p *pool) next() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		p.running--
		return nil
	}
	fn := p.waiting[0]
	p.waiting = p.waiting[1:]
	return fn
}
