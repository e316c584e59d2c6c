package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"
)

const (
	lookEvery   = 100 * time.Millisecond // so a browser gets at most 10 events a second
	readWithin  = 10 * time.Second       // a browser that does not send a whole request for as long is disconnected
	writeWithin = 10 * time.Second       // a browser that does not read an event for as long is disconnected
	maxViewers  = 8                      // a browser opens no more than six streams to one host
)

// changes are an event: the differences between the view that the browser has and the new
// one. It is sent as JSON; what has not changed is left out.
type changes struct {
	All      bool                     `json:"all,omitempty"` // the first event of a stream: the browser has an empty view
	Room     *roomView                `json:"room,omitempty"`
	Conn     *connView                `json:"conn,omitempty"`
	Backend  *backendView             `json:"backend,omitempty"`
	Comments *listChange[commentView] `json:"comments,omitempty"`
	Notices  *listChange[noticeView]  `json:"notices,omitempty"`
	Goods    *listChange[goodsView]   `json:"goods,omitempty"`
	Log      *listChange[logView]     `json:"log,omitempty"`
}

// A listChange removes the first items of a list, and adds others at its end.
type listChange[T any] struct {
	Drop int `json:"drop,omitempty"`
	Add  []T `json:"add,omitempty"`
}

// between returns the changes from one view to another.
func between(had, now view) changes {
	return changes{
		Room: change(had.Room, now.Room), Conn: change(had.Conn, now.Conn), Backend: change(had.Backend, now.Backend),
		Comments: changeOfList(had.Comments, now.Comments), Notices: changeOfList(had.Notices, now.Notices),
		Goods: changeOfList(had.Goods, now.Goods), Log: changeOfList(had.Log, now.Log),
	}
}

func change[T comparable](had, now T) *T {
	if had == now {
		return nil
	}
	return &now
}

func changeOfList[T comparable](had, now []T) *listChange[T] {
	drop := 0
	for left := had; len(left) > len(now) || !slices.Equal(left, now[:len(left)]); left = had[drop:] {
		drop++
	}
	if drop == 0 && len(now) == len(had) {
		return nil
	}
	return &listChange[T]{Drop: drop, Add: now[len(had)-drop:]}
}

// serveEvents sends the whole view, and then its changes. Each event has all changes since
// the one before: a browser that reads slowly gets fewer of them, and nothing is queued for
// it. Polling needs no hooks in the shown data, and bounds the rate.
func serveEvents(ctx context.Context, w http.ResponseWriter, r *http.Request, look func() view) {
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	// Some ResponseWriters have no deadlines; the stream works without.
	hurry := func() { _ = rc.SetWriteDeadline(time.Now().Add(writeWithin)) }
	defer hurry() // for the end of the response, which net/http writes later
	// The deadline of the request would end the stream. It is set again for a body that nothing has read.
	_ = rc.SetReadDeadline(time.Time{})
	defer func() { _ = rc.SetReadDeadline(time.Now().Add(readWithin)) }()

	// The browser's delay before it reconnects a broken stream, in milliseconds.
	if _, err := io.WriteString(w, "retry: 1000\n\n"); err != nil {
		return
	}
	had := look()
	next := between(view{}, had)
	next.All = true
	for {
		if next != (changes{}) {
			hurry()
			if writeEvent(w, next) != nil || rc.Flush() != nil {
				return
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		case <-r.Context().Done():
			return
		}
		now := look()
		had, next = now, between(had, now)
	}
}

func writeEvent(w io.Writer, c changes) error {
	var b bytes.Buffer
	b.WriteString("data: ")
	encoder := json.NewEncoder(&b) // writes one line
	encoder.SetEscapeHTML(false)   // the page shows text, never HTML
	if err := encoder.Encode(c); err != nil {
		return err // cannot be: a view is strings and numbers
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}
