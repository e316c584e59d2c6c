package liveroom_test

import (
	"context"
	"errors"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

// The code of docs/liveroom.md and docs/live-room-bot.md, which is compiled here and not run.
var (
	_ = sayWithDeadline
	_ = addGift
	_ = keepRooms
)

func sayWithDeadline(ctx context.Context, room *liveroom.Room) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // always: only ctx bounds how long it takes
	defer cancel()
	err := room.SayConfirmed(ctx, "we ship within 24 hours")
	var refused *liveroom.RefusedError
	switch {
	case err == nil: // the room has shown it
	case errors.As(err, &refused): // the server does not want it: refused.Text is its reason
	case errors.Is(err, liveroom.ErrNotShown): // not recognized: dropped, or shown with another text; err says what was seen
	default: // ctx has ended, or the client is closed; it may be in the room
	}
}

type Gift struct {
	From  liveroom.Text   `json:"from_name"` // reads 666 as well as "666"
	Count liveroom.Number `json:"gift_num"`  // and "3" as well as 3
}

func addGift(room *liveroom.Room) {
	wechatws.On(room.Client(), "gift", func(ctx context.Context, g Gift) {})
}

func keepRooms(ctx context.Context, url string, id liveroom.Identity) error {
	rooms, err := liveroom.NewRooms(func(ctx context.Context, id liveroom.Identity) (*wechatws.Client, error) {
		return wechatws.New(url, wechatws.WithJitter(0.2)) // a token of this room, its own endpoint …
	}, liveroom.WithJoinRate(20))
	if err != nil {
		return err
	}
	liveroom.On(rooms, func(ctx context.Context, r *liveroom.Room, c liveroom.Comment) {})
	rooms.OnFailed(func(ctx context.Context, r *liveroom.Room, err error) {}) // refused for good
	room, err := rooms.Add(ctx, id, liveroom.WithCommentRate(2))
	if err != nil {
		return err
	}
	return room.Joined(ctx)
}
