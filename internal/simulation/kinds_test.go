package simulation

import "time"

// A kind is a kind of steps: how frequent it is, and how one is made.
type kind struct {
	weight int
	step   func(source, *settings) step
}

// calls are the kinds of calls of the client's methods.
var calls = []kind{
	{4, func(s source, _ *settings) step {
		return step{Do: oneOf(s, "connect", "connect", "run"), D: s.timeout()}
	}},
	{1, plain("close")},
	{1, plain("closeNow")},
	{1, within("shutdown")},
	{2, plain("reconnect")},
	{1, plain("disconnect")},
	{2, within("flush")},
	{5, sending("send")},
	{2, sending("sendLate")},
	{2, sending("sendExpiring")},
	{2, sending("failFast")},
	{4, sending("request")},
	{4, sending("confirm")},
}

// kinds are all kinds of steps.
var kinds = append([]kind{
	{18, func(s source, _ *settings) step {
		return step{Do: "advance", D: s.odd(oneOf(s, time.Millisecond, 15*time.Millisecond, 200*time.Millisecond, time.Second, 3*time.Second, 12*time.Second, 40*time.Second))}
	}},
	{18, source.hooked},
	{8, plain("release")},
	{6, func(s source, t *settings) step {
		return step{Do: "sends", N: oneOf(s, 3, 10, 30, 150, max(20, t.Messages-200)), D: s.timeout()}
	}},

	{2, func(s source, _ *settings) step { return step{Do: "hold", On: oneOf(s, "up", "down", "both")} }},
	{4, plain("flow")},
	{2, func(s source, _ *settings) step {
		return step{Do: "deliver", On: oneOf(s, "up", "down"), N: 1 + s.IntN(500)}
	}},
	{2, func(s source, _ *settings) step { return step{Do: "failWrite", N: s.IntN(300)} }},
	{1, plain("fin")},
	{1, plain("rst")},
	{2, func(s source, _ *settings) step { return step{Do: "refuse", N: 1 + s.IntN(4)} }},
	{1, plain("holdDials")},
	{3, plain("freeDials")},
	{2, func(s source, t *settings) step { return step{Do: "slow", N: oneOf(s, 0, 2*t.Buffer+16_000)} }},
	{5, func(s source, _ *settings) step { return step{Do: "change", N: oneOf(s, 0, 1, 1)} }},

	{3, func(s source, _ *settings) step { return step{Do: "say", N: oneOf(s, 1, 3, 20, 100)} }},
	{3, func(s source, _ *settings) step { return step{Do: "say", N: 1100 + s.IntN(2500)} }},
	{4, func(s source, _ *settings) step {
		return step{Do: "leave", N: oneOf(s, 1000, 1001, 1008, 1011, 1012), D: time.Duration(oneOf(s, 0, 1, 20, 200))}
	}},
	{1, plain("bye")},
	{1, func(s source, _ *settings) step { return step{Do: "pings", N: oneOf(s, 1, 50)} }},
	{1, plain("deaf")},
	{1, plain("silent")},
	{2, plain("well")},
	{1, func(s source, _ *settings) step { return step{Do: "status", N: oneOf(s, 403, 429, 500, 503)} }},
}, calls...)

// scenes are steps that seldom come together by chance, and then meet what few others do.
var scenes = []func(source, *settings) []step{
	// A callback keeps a full inbox, perhaps while another goroutine waits for an answer.
	func(s source, t *settings) []step {
		var steps []step
		if s.chance(50) {
			steps = []step{{Do: "silent"}, oneOf(s, sending("request"), sending("confirm"))(s, t)}
		}
		h := step{Do: "hook", On: "OnMessage", Then: "block"}
		if s.chance(60) {
			h = calling(h, oneOf(s, sending("request"), sending("confirm"), s.favorite)(s, t))
		}
		steps = append(steps, h, step{Do: "say", N: 1}, step{Do: "say", N: 1100 + s.IntN(2500)})
		if s.chance(50) {
			steps = append(steps, step{Do: "advance", D: s.odd(100 * time.Millisecond)})
		}
		return steps
	},
	// A callback acts on the answer that another goroutine waits for.
	func(s source, t *settings) []step {
		h := calling(step{Do: "hook", On: "OnMessage"}, s.favorite(s, t))
		return []step{h, oneOf(s, sending("request"), sending("confirm"))(s, t)}
	},
	// The client ends, or is connected anew, while much is being written.
	func(s source, t *settings) []step {
		return []step{{Do: "sends", N: 150, D: s.timeout()}, {Do: oneOf(s, "close", "close", "closeNow", "reconnect")}}
	},
	// The client ends, or is connected anew, while a user's function holds the writing up, perhaps that of
	// several messages.
	func(s source, t *settings) []step {
		h := step{Do: "hook", On: oneOf(s, "Marshal", "Marshal", "Ping"), Then: "sleep", D: s.odd(oneOf(s, 20*time.Millisecond, 500*time.Millisecond))}
		return []step{h, sending("sendLate")(s, t), {Do: "sends", N: 3, D: s.timeout()}, {Do: oneOf(s, "close", "close", "shutdown", "closeNow", "reconnect"), D: s.timeout()}}
	},
	// A call ends while a user's function holds the writing up.
	func(s source, t *settings) []step {
		h := step{Do: "hook", On: "Marshal", Then: "sleep", D: s.odd(oneOf(s, 500*time.Millisecond, 3*time.Second))}
		late, call := sending("sendLate")(s, t), oneOf(s, sending("request"), sending("failFast"))(s, t)
		late.Now = true // both are in the queue before the writer begins
		return []step{h, late, call, {Do: "advance", D: s.odd(5 * time.Second)}}
	},
	// The server goes on sending, and reads nothing any more.
	func(s source, _ *settings) []step {
		steps := []step{{Do: "say", N: s.IntN(2500)}, {Do: "advance", D: s.odd(5 * time.Second)}, {Do: "deaf"}}
		for range 50 {
			steps = append(steps, step{Do: "say", N: 1}, step{Do: "advance", D: s.odd(2 * time.Second)})
		}
		return steps
	},
	// The server ends a connection to which the client then writes.
	func(s source, t *settings) []step {
		return []step{{Do: "leave", N: 1008, D: 20}, sending("send")(s, t), {Do: "advance", D: s.odd(3 * time.Second)}}
	},
}

// favorite makes a call, often the one that is frequent in the schedule.
func (s source) favorite(_ source, t *settings) step {
	if s.chance(50) {
		return calls[s.call].step(s, t)
	}
	return calls[s.IntN(len(calls))].step(s, t)
}

// calling returns a step for a function of the user's, which makes a call.
func calling(h, call step) step {
	h.Then, h.N, h.D = call.Do, call.N, call.D
	return h
}

func plain(do string) func(source, *settings) step {
	return func(source, *settings) step { return step{Do: do} }
}

func within(do string) func(source, *settings) step {
	return func(s source, _ *settings) step { return step{Do: do, D: s.timeout()} }
}

func sending(do string) func(source, *settings) step {
	return func(s source, _ *settings) step { return step{Do: do, N: s.size(), D: s.timeout()} }
}

// timeout returns that of a call.
func (s source) timeout() time.Duration {
	return s.odd(oneOf(s, 10*time.Millisecond, time.Second, 5*time.Second, 20*time.Second))
}

// size returns the size of a message.
func (s source) size() int { return oneOf(s, 40, 40, 40, 100, 300, 3000, 20_000) + s.IntN(20) }

// hooked makes a step for a function of the user's.
func (s source) hooked(t *settings) step {
	h := hooks[s.hook]
	if s.chance(60) {
		h = hooks[s.IntN(len(hooks))]
	}
	st := step{Do: "hook", On: h.name}
	switch n := s.IntN(10); {
	case n < 1:
		st.Then, st.D = "sleep", s.odd(oneOf(s, time.Millisecond, 50*time.Millisecond, time.Second, 15*time.Second))
	case n < 4 && h.runs, n < 2:
		st.Then = "block"
	case n < 5:
		st.Then = "panic"
	case n < 6:
		st.Then = "goexit"
	case n < 7 && h.fails:
		st.Then = "fail"
	default:
		switch h.may {
		case nothing:
			st.Then, st.D = "sleep", s.odd(20*time.Millisecond)
		case reconnects:
			st.Then = "reconnect"
		default:
			st = calling(st, s.favorite(s, t))
		}
	}
	return st
}
