package wsotel_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/metrics/wsotel"
)

func TestANilOptionIsNamed(t *testing.T) {
	require.PanicsWithValue(t, "wsotel: Trace: an option is nil", func() { wsotel.Trace(nil) })
	_, err := wsotel.NewMetrics(nil)
	require.EqualError(t, err, "wsotel: NewMetrics: an option is nil")
}
