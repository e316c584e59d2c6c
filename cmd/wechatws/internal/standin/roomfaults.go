package standin

import (
	"errors"
	"fmt"
	"time"
)

func (b *Backend) freeze(a args) error {
	if err := a.set(&b.frozen); err != nil {
		return err
	}
	b.room.Freeze(b.frozen)
	return nil
}

func (b *Backend) reload(a args) error {
	d, err := a.wait(3 * time.Second)
	if err != nil {
		return err
	}
	if err := a.end(); err != nil {
		return err
	}
	b.in(func() { b.room.Reload(d) })
	return nil
}

func (b *Backend) rolling(a args) error {
	groups, err := a.number("GROUPS", 4, 1, 1000)
	if err != nil {
		return err
	}
	pause, err := a.wait(time.Second)
	if err != nil {
		return err
	}
	if err := a.end(); err != nil {
		return err
	}
	b.in(func() { b.room.RollingRestart(groups, pause) })
	return nil
}

func (b *Backend) say(a args) error {
	room, name, err := a.member()
	if err != nil {
		return err
	}
	if a.rest == "" {
		return errors.New("a text is needed")
	}
	if b.room.Viewers(room) == 0 {
		*a.hint = fmt.Sprintf("room %s has no member, so no client receives the comment now; send TEXT reaches all connections", cut(room, 50))
	}
	b.room.Say(room, name, a.rest)
	return nil
}

func (b *Backend) kick(a args) error {
	return b.members(a, func(room, name string) int { return b.room.Kick(room, name) })
}

func (b *Backend) throwOut(a args) error {
	return b.members(a, func(room, name string) int { return b.room.ThrowOut(room, name) })
}

// members does something with members, of which there must be one.
func (b *Backend) members(a args, do func(room, name string) int) error {
	room, name, err := a.member()
	if err != nil {
		return err
	}
	if err := a.end(); err != nil {
		return err
	}
	if do(room, name) == 0 {
		return errors.New("the room has no member with this name")
	}
	return nil
}

func (b *Backend) mute(a args) error {
	room, name, err := a.member()
	if err != nil {
		return err
	}
	muted := true
	if a.rest != "" {
		if err := a.set(&muted); err != nil {
			return err
		}
	}
	b.room.Mute(room, name, muted)
	return nil
}
