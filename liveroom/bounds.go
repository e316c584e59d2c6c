package liveroom

import (
	"slices"
	"unicode/utf8"
	"unsafe"
)

const (
	// maxField is how many bytes of one text a room keeps. Typed text is far shorter.
	maxField = 4 << 10
	// maxGoods is how many goods a shelf holds. Each message about goods looks through
	// all of them.
	maxGoods = 1000
	// cutMark ends a text that was longer.
	cutMark = "…"
)

// cut returns s, or its beginning and a mark. It does not retain a long s.
func cut[S ~string](s S) S {
	if len(s) <= maxField {
		return s
	}
	end := maxField - len(cutMark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + cutMark
}

func (v Value) cut() Value {
	if len(v.text) <= maxField {
		return v
	}
	return Value{text: cut(v.text)} // with a mark it is not a number
}

func (s Sender) cut() Sender {
	return Sender{ClientID: s.ClientID.cut(), FromUID: s.FromUID.cut(), FromName: cut(s.FromName)}
}

func (c Comment) cut() Comment {
	c.Sender, c.Content = c.Sender.cut(), cut(c.Content)
	return c
}

func (n Notice) cut() Notice {
	n.Text = cut(n.Text)
	return n
}

// Part of a URL is another URL, so one that is too long is left out.
func (g Goods) cut() Goods {
	g.ID, g.Name, g.Price = g.ID.cut(), cut(g.Name), g.Price.cut()
	if len(g.Image) > maxField {
		g.Image = ""
	}
	return g
}

func (c Comment) size() int {
	return int(unsafe.Sizeof(c)) + len(c.ClientID.text) + len(c.FromUID.text) + len(c.FromName) + len(c.Content)
}

func (n Notice) size() int { return int(unsafe.Sizeof(n)) + len(n.Text) }

func (g Goods) size() int {
	return int(unsafe.Sizeof(g)) + len(g.ID.text) + len(g.Name) + len(g.Price.text) + len(g.Image)
}

// A keepable can be cut to what a room keeps of it, and then has a size in bytes.
type keepable[T any] interface {
	cut() T
	size() int
}

var (
	_ keepable[Comment] = Comment{}
	_ keepable[Notice]  = Notice{}
	_ keepable[Goods]   = Goods{}
)

// A kept is a list of what a room keeps, oldest first, and its size in bytes.
type kept[T keepable[T]] struct {
	items []T
	bytes int
	shown []T // a copy of items for snapshots, made when one is taken; nil: items have changed since
}

// show returns the copy that snapshots share until the list changes.
func (k *kept[T]) show() []T {
	if k.shown == nil {
		k.shown = slices.Clip(slices.Clone(k.items))
	}
	return k.shown
}

func (k *kept[T]) add(v T) {
	v = v.cut()
	k.shown = nil
	k.items = append(k.items, v)
	k.bytes += v.size()
}

func (k *kept[T]) set(i int, v T) {
	v = v.cut()
	k.shown = nil
	k.bytes += v.size() - k.items[i].size()
	k.items[i] = v
}

func (k *kept[T]) remove(i int) {
	k.shown = nil
	k.bytes -= k.items[i].size()
	k.items = slices.Delete(k.items, i, i+1)
}

// replace takes items that are cut already.
func (k *kept[T]) replace(items []T) {
	k.items, k.bytes, k.shown = items, 0, nil
	for _, v := range items {
		k.bytes += v.size()
	}
}

// drop removes the oldest n. What they reference is released now, their place in the
// array when the list is moved.
func (k *kept[T]) drop(n int) {
	if n <= 0 {
		return
	}
	k.shown = nil
	for _, v := range k.items[:n] {
		k.bytes -= v.size()
	}
	clear(k.items[:n])
	k.items = k.items[n:]
}

// bound removes the oldest entries above the room's limits, from the list that is largest,
// so that a flood of one kind does not affect the others. It is called with mu held.
func (r *Room) bound() {
	comments, notices, goods := &r.state.comments, &r.state.notices, &r.state.goods
	comments.drop(len(comments.items) - r.cfg.comments)
	notices.drop(len(notices.items) - r.cfg.notices)
	goods.drop(len(goods.items) - maxGoods)
	for comments.bytes+notices.bytes+goods.bytes > r.cfg.bytes {
		switch max(comments.bytes, notices.bytes, goods.bytes) {
		case comments.bytes:
			comments.drop(1)
		case notices.bytes:
			notices.drop(1)
		default:
			goods.drop(1)
		}
	}
}
