package main

import "time"

// opened is called by OnOpen.
func (a *account) opened(connection int) {
	defer a.lock()()
	if a.shut || a.open || connection <= a.current {
		a.fail("connection %d opened after connection %d (open: %t, closed by the user: %t)", connection, a.current, a.open, a.shut)
	}
	a.current, a.open, a.heard = connection, true, 0
	a.totals.opens++
}

// ended is called by OnClose. wanted reports whether Reconnect was called.
func (a *account) ended(connection int, cause error, wanted bool) {
	defer a.lock()()
	if a.shut || !a.open || connection != a.current {
		a.fail("connection %d ended, and %d was the last to open (open: %t, closed by the user: %t)", connection, a.current, a.open, a.shut)
	}
	a.open = false
	l := a.link(connection)
	l.cause, l.hurt = cause, l.hurt || wanted
}

// news is called by the callback for news. A message that arrives while Close is being called
// may still reach it, so that only messages that arrived well after the call are failures.
func (a *account) news(connection int, p packet, received time.Time) {
	defer a.lock()()
	a.totals.inbound++
	switch {
	case a.shut:
		a.fail("news %d of connection %d came after Close had returned", p.Number, connection)
	case !a.closes.IsZero() && a.known(a.closes, received):
		a.fail("news %d of connection %d arrived %v after Close was called", p.Number, connection, received.Sub(a.closes))
	case !a.open || connection != a.current:
		a.fail("news %d came from connection %d, and %d was the last to open (open: %t)", p.Number, connection, a.current, a.open)
	case p.Client != a.client || p.Link != connection:
		a.fail("connection %d brought news for client %d, connection %d", connection, p.Client, p.Link)
	case p.Number != a.heard+1:
		a.fail("news %d of connection %d came after news %d", p.Number, connection, a.heard)
	}
	a.heard = p.Number
}

// connecting is called before Connect.
func (a *account) connecting() {
	defer a.lock()()
	a.shut, a.closes, a.lastOpen = false, time.Time{}, time.Now()
}

// closing is called before Close.
func (a *account) closing() {
	defer a.lock()()
	a.closes = time.Now()
}

// seen is called every second, and checks for events that should have happened. open reports
// whether the client is open.
func (a *account) seen(open bool, bound time.Duration) {
	defer a.lock()()
	if open || a.shut {
		a.lastOpen = time.Now()
	} else if since := time.Since(a.lastOpen); since > bound {
		a.fail("has not been open for %v", since.Round(time.Second))
	}
	for number := range a.calls {
		a.checkOver(number)
	}
}

// closed is called after Close has returned and given has been called for each message that it
// handed back: each message has its fate now.
func (a *account) closed() {
	defer a.lock()()
	a.shut = true
	nameless := 0
	for number, m := range a.plains {
		if m.accepted && m.fate == waiting {
			if nameless++; nameless > a.unnamed {
				a.fail("plain message %d is lost without notice", number)
			}
			delete(a.plains, number)
		}
	}
	a.unnamed -= nameless
	for number, c := range a.calls {
		c.owed = !c.excused && a.known(c.began, a.closes)
		c.excused = !c.owed
		a.settleCall(number)
	}
}
