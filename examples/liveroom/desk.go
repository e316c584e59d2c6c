package main

import (
	"context"
	"sync"

	"github.com/wechatws/wechatws/liveroom"
)

// A desk has the data of the page and the actions of its buttons.
type desk struct {
	room  *liveroom.Room
	watch *watched
	stage *stage // nil with a real backend

	mu      sync.Mutex
	shown   view   // what the room had at version
	version uint64 // 0: nothing was shown yet
}

// shownNotices is the number of notices that the page shows.
const shownNotices = 8

func (d *desk) look() view {
	v := d.lookAtRoom()
	v.Conn, v.Log = d.watch.view()
	v.Backend = backendView{Own: d.stage != nil, Up: d.stage == nil || d.stage.isUp()}
	return v
}

// lookAtRoom returns what the page shows of the room. All viewers share its lists while the
// room does not change.
func (d *desk) lookAtRoom() view {
	s := d.room.Snapshot()
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.Version == d.version && d.version != 0 {
		return d.shown
	}
	v := view{Room: roomView{Joined: s.Joined, Viewers: s.Viewers, Followers: s.Followers}}
	for _, c := range s.Comments {
		v.Comments = append(v.Comments, commentView{Name: string(c.FromName), Content: string(c.Content), Own: c.Own})
	}
	for _, n := range s.Notices {
		if !n.Ghost { // a ghost is this client's own lost connection, no viewer
			v.Notices = append(v.Notices, noticeView{Text: n.Text, At: n.At.UnixMilli()})
		}
	}
	v.Notices = v.Notices[max(0, len(v.Notices)-shownNotices):]
	for _, g := range s.Goods {
		v.Goods = append(v.Goods, goodsView{ID: g.ID.String(), Name: g.Name, Price: "¥" + g.Price.String(), Image: g.Image})
	}
	d.shown, d.version = v, s.Version
	return v
}

// Say sends a comment as a visitor. In a real room the bot sends it.
func (d *desk) Say(ctx context.Context, name, text string) error {
	if d.stage == nil {
		return d.room.Say(ctx, text)
	}
	if name == "" {
		name = "Guest"
	}
	d.stage.backend.Say(d.stage.bot.RoomID.String(), name, text)
	return nil
}

func (d *desk) Cut() error       { return d.stage.cut() }
func (d *desk) Restart() error   { return d.stage.restart() }
func (d *desk) Reconnect() error { return d.room.Client().Reconnect() }
