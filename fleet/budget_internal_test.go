package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A room may use what it has not used for 10 s at once, and no more.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget{messages: bucket{rate: 5}, bytes: bucket{rate: 100}}
		take := func(bytes int) (n int) {
			for b.allows(time.Now(), bytes) {
				n++
			}
			return n
		}
		assert.Equal(t, 50, take(1))
		time.Sleep(time.Second)
		assert.Equal(t, 5, take(1))
		time.Sleep(time.Hour)
		assert.Equal(t, 50, take(1))
		time.Sleep(time.Hour)
		assert.Equal(t, 10, take(100), "bytes count, too")
		assert.False(t, b.allows(time.Now(), 1))
		time.Sleep(time.Hour)
		assert.False(t, b.allows(time.Now(), 1001), "it never fits")
		assert.True(t, b.allows(time.Now(), 1000))
	})
}

// Shares differ by one at most, all agree, and few partitions move when a member comes or goes.
func TestAssign(t *testing.T) {
	members := []string{"a-1", "b-2", "c-3", "d-4", "e-5", "f-6", "g-7"}
	for _, partitions := range []int{1, 3, 16, 256} {
		for n := 1; n <= len(members); n++ {
			owners := assign(partitions, members[:n])
			count := map[string]int{}
			for _, owner := range owners {
				count[owner]++
			}
			for _, name := range members[:n] {
				assert.GreaterOrEqual(t, count[name], partitions/n)
				assert.LessOrEqual(t, count[name], (partitions+n-1)/n)
			}
			if n == 1 {
				continue
			}
			moved := 0
			for p, owner := range assign(partitions, members[:n-1]) {
				if owner != owners[p] {
					moved++
				}
			}
			assert.LessOrEqual(t, moved, 3*(partitions+n-1)/n, "%d partitions, %d members", partitions, n)
		}
	}
}
