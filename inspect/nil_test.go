package inspect_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/inspect"
)

func TestANilOptionIsNamed(t *testing.T) {
	require.PanicsWithValue(t, "inspect: New: an option is nil", func() { inspect.New(nil) })
}
