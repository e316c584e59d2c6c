package main

import (
	"context"

	"github.com/wechatws/wechatws/liveroom"
)

// A desk has the data of the page and the actions of its buttons.
type desk struct {
	room  *liveroom.Room
	watch *watched
	stage *stage // nil with a real backend
}

func (d *desk) look() view {
	s := d.room.Snapshot()
	v := view{
		Room: roomView{
			Title: "茶 Tea room", Joined: s.Joined, Viewers: s.Viewers, Followers: s.Followers,
			Comments: []commentView{}, Notices: []noticeView{}, Goods: []goodsView{},
		},
		Conn:    d.watch.view(),
		Backend: backendView{Own: d.stage != nil, Up: d.stage == nil || d.stage.isUp()},
	}
	for _, c := range s.Comments {
		v.Room.Comments = append(v.Room.Comments, commentView{Name: string(c.FromName), Content: string(c.Content), Own: c.Own})
	}
	for _, n := range s.Notices {
		if !n.Ghost { // a ghost is this client's own lost connection, no viewer
			v.Room.Notices = append(v.Room.Notices, noticeView{Text: n.Text, At: n.At.UnixMilli()})
		}
	}
	for _, g := range s.Goods {
		v.Room.Goods = append(v.Room.Goods, goodsView{ID: g.ID.String(), Name: g.Name, Price: "¥" + g.Price.String(), Image: g.Image})
	}
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
