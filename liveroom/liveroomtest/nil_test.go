package liveroomtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

func TestANilOptionIsNamed(t *testing.T) {
	require.PanicsWithValue(t, "liveroomtest: NewBackend: an option is nil", func() { liveroomtest.NewBackend(liveroomtest.Quirks{}, nil) })
}
