package ws

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// The allocator rounds sizes up to those of its classes, which are 768 and 320 here.
func TestSizes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 8 {
		assert.LessOrEqual(t, unsafe.Sizeof(Conn{}), uintptr(768))
		assert.LessOrEqual(t, unsafe.Sizeof(Socket{}), uintptr(320))
	}
}

func TestBatchesAreReused(t *testing.T) {
	for _, size := range []int{0, 1, 512, 513, 65536} {
		b := newBatch(1, size)
		b.add(true, make([]byte, size))
		assert.True(t, b.Reused())
		assert.Len(t, b.Messages[0].Data, size)
		assert.Equal(t, cap(b.Messages[0].Data), size, "an append does not write into the next message")
		assert.LessOrEqual(t, cap(b.arena), max(512, 2*size))
		b.Release()
	}
	own := Single(false, []byte("kept"))
	own.Release()
	assert.Equal(t, "kept", string(own.Messages[0].Data))
}
