package decision_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/fleet/internal/decision"
)

// What the model of the lease does not have: values that are no claims, shards with too many rooms, rooms that
// are removed or changed, and draining.
func TestShard(t *testing.T) {
	const (
		blind, garbled, valid = decision.Blind, decision.Garbled, decision.Valid
		tooMany, ready        = decision.TooMany, decision.Ready
	)
	for name, c := range map[string]struct {
		shard decision.Shard
		want  decision.Action
	}{
		"a shard without a room is not taken":               {decision.Shard{Wanted: true, Others: decision.Ended}, decision.Nothing},
		"a holder has time to replace what is no claim":     {decision.Shard{Claim: blind, Wanted: true, Others: decision.Ended}, decision.Wait},
		"no other worker waits for that":                    {decision.Shard{Claim: blind, Others: decision.Ended}, decision.Nothing},
		"the holder replaces what is no claim":              {decision.Shard{Claim: garbled, Mine: true, Names: true, Stage: ready}, decision.Take},
		"another worker does not while the holder lives":    {decision.Shard{Claim: garbled, Wanted: true}, decision.Nothing},
		"it does when the holder has ended":                 {decision.Shard{Claim: garbled, Wanted: true, Others: decision.Ended}, decision.Take},
		"the rooms of a session that has ended are taken":   {decision.Shard{Claim: valid, Mine: true, Names: true, Others: decision.Ended, Stage: ready}, decision.Take},
		"a shard with too many rooms is passed on":          {decision.Shard{Claim: valid, Mine: true, Names: true, Stage: tooMany}, decision.Refuse},
		"rooms of it that were moved to the worker are not": {decision.Shard{Claim: valid, Names: true, Stage: tooMany}, decision.Rooms},
		"the rooms of a shard that is lost are closed":      {decision.Shard{Claim: valid, Stage: ready}, decision.Exit},
	} {
		assert.Equal(t, c.want, c.shard.Next(), name)
	}
}

func TestRoom(t *testing.T) {
	held := decision.Room{Mine: true, Exists: true, Here: true, Held: true, Current: true}
	for name, c := range map[string]struct {
		change func(r *decision.Room)
		want   decision.Action
		passes bool
	}{
		"it is held":                        {func(*decision.Room) {}, decision.Nothing, false},
		"its spec has changed":              {func(r *decision.Room) { r.Current = false }, decision.Close, false},
		"it is removed":                     {func(r *decision.Room) { r.Exists = false }, decision.Close, false},
		"it is removed, and was moved here": {func(r *decision.Room) { r.Exists, r.Apart = false, true }, decision.Close, true},
		"another worker has claimed it":     {func(r *decision.Room) { r.Mine = false }, decision.Close, false},
		"another worker should hold it":     {func(r *decision.Room) { r.Here = false }, decision.Nothing, true},
		"it is not held":                    {func(r *decision.Room) { r.Held = false }, decision.Hold, false},
		"it is not held, and was removed":   {func(r *decision.Room) { r.Held, r.Exists = false, false }, decision.Nothing, false},
		"the worker drains":                 {func(r *decision.Room) { r.Held, r.Drains = false, true }, decision.Nothing, false},
	} {
		r := held
		c.change(&r)
		assert.Equal(t, c.want, r.Next(), name)
		assert.Equal(t, c.passes, r.Passes(), name)
	}
}
