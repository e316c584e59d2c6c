package main

import "time"

// A call is a SendConfirmed that has not returned.
type call struct {
	began, deadline time.Time
	received        bool
	returned        time.Time // when Close handed it back
	early           bool      // it began before the client opened, and perhaps before Connect was called
	cut             bool      // it has returned ErrClosed
	owed            bool      // it began well before Close, which has not handed it back
	excused         bool      // it began shortly before Close, or early, and may have been refused
}

// begin is called before SendConfirmed.
func (a *account) begin(deadline time.Time) int {
	defer a.lock()()
	a.call++
	a.calls[a.call] = &call{began: time.Now(), deadline: deadline, early: !a.open && a.closes.IsZero(), excused: a.shut}
	return a.call
}

// confirmed is called when SendConfirmed has returned nil.
func (a *account) confirmed(number int) {
	defer a.lock()()
	if !a.calls[number].received {
		a.fail("SendConfirmed returned nil for message %d, which the server has not received", number)
	}
	a.totals.confirmed++
	a.checkOver(number)
	delete(a.calls, number)
}

// gaveUp is called when SendConfirmed has returned an error other than ErrClosed.
func (a *account) gaveUp(number int) {
	defer a.lock()()
	a.totals.gaveUp++
	a.checkOver(number)
	delete(a.calls, number)
}

// cut is called when SendConfirmed has returned ErrClosed.
func (a *account) cut(number int) {
	defer a.lock()()
	c := a.calls[number]
	c.cut = true
	c.excused = c.excused || c.early && a.closes.IsZero() // Close has not been called again
	a.settleCall(number)
}

// callReturned is called for each confirmed message that Close hands back.
func (a *account) callReturned(number int) {
	defer a.lock()()
	if c := a.calls[number]; c != nil { // nil: it was confirmed at the same time
		c.returned = time.Now()
		a.settleCall(number)
	}
}

// checkOver checks a call that has not returned ErrClosed: its message must not have been
// handed back longer than a moment ago.
func (a *account) checkOver(number int) {
	if c := a.calls[number]; !c.returned.IsZero() && a.known(c.returned, time.Now()) {
		a.fail("Close has handed message %d back, and %v later its SendConfirmed still goes on", number, time.Since(c.returned).Round(time.Millisecond))
	}
}

func (a *account) settleCall(number int) {
	c := a.calls[number]
	switch {
	case !c.cut:
	case !c.returned.IsZero() || c.excused:
		delete(a.calls, number)
	case c.owed:
		a.fail("SendConfirmed returned ErrClosed for message %d, and Close has not handed it back", number)
	}
}

// gotConfirmed is called when the server has read a confirmed message.
func (a *account) gotConfirmed(number int) {
	c := a.calls[number]
	if c == nil || c.received {
		a.totals.again++
		return
	}
	c.received = true
	now := time.Now()
	for n, other := range a.calls {
		before := n < number && a.known(other.began, c.began)
		if before && !other.received && !other.cut && other.returned.IsZero() && now.Before(other.deadline) {
			a.fail("the server received confirmed message %d before message %d, which was called %v earlier", number, n, c.began.Sub(other.began))
		}
	}
}
