package wstest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

func TestACutHasText(t *testing.T) {
	for cut, want := range map[wstest.Cut]string{wstest.FIN: "FIN", wstest.RST: "RST", 2: "Cut(2)"} {
		require.Equal(t, want, fmt.Sprint(cut))
		text, err := cut.MarshalText()
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
}
