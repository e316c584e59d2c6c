package wechatws

// EncodeOnWrite encodes the message again right before it is written; by default it is
// encoded once, by the call that sends it. It is for values that depend on the connection,
// such as an id that the server assigns, since the message may wait for the next one.
//
// The codec is called on a goroutine of the client, and must not call the client. If it
// fails, the message is written as encoded before, and the error is reported to
// [Client.OnError]. EncodeOnWrite has no effect on a [Text], a [Binary], and an [Outbound]
// without a value.
//
// A MarshalJSON method runs while callbacks and functions of [Client.AfterConnect] do, so what they
// store for it must be safe for use by several goroutines, such as an atomic.Value.
func EncodeOnWrite() MessageOption {
	return messageOption(func(m *outgoing) { m.late = true })
}

// encodeOnWrite encodes the messages that [EncodeOnWrite] was given for.
func (l *link) encodeOnWrite(batch []*queued) {
	for _, m := range batch {
		if !m.Value.late {
			continue
		}
		var err error
		l.outside(func() {
			err = users.Apart(func() error {
				again, err := encode(l.client.cfg.codec, m.Value.value)
				if err == nil {
					l.replace(m, again)
				}
				return err
			})
		})
		if err != nil {
			l.client.reportLater(l.session, err)
		}
	}
}

// replace replaces the data of a message in flight, unless Close has taken it back.
func (l *link) replace(m *queued, by Outbound) {
	l.writer.mu.Lock()
	defer l.writer.mu.Unlock()
	if l.writer.inFlight {
		m.Value.Data = by.Data
	}
}

// outside runs a function of the user that holds up the writing, for which awaitWriter does
// not wait.
func (l *link) outside(fn func()) {
	count := func(n int) {
		l.writer.mu.Lock()
		defer l.writer.mu.Unlock()
		l.writer.outside += n
		l.writer.notify()
	}
	count(1)
	defer count(-1)
	fn()
}
