package wstest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

func TestANilOptionIsNamed(t *testing.T) {
	require.PanicsWithValue(t, "wstest: NewServer: an option is nil", func() { wstest.NewServer(nil) })
	require.PanicsWithValue(t, "wstest: Accept: an option is nil", func() { wstest.Accept(nil) })
}
