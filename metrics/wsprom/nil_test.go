package wsprom_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/metrics/wsprom"
)

func TestANilOptionIsNamed(t *testing.T) {
	require.PanicsWithValue(t, "wsprom: New: an option is nil", func() { wsprom.New(nil) })
}
