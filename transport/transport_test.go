package transport_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAMessageTypeHasText(t *testing.T) {
	for typ, want := range map[transport.MessageType]string{
		transport.TextMessage: "text", transport.BinaryMessage: "binary", 3: "MessageType(3)",
	} {
		require.Equal(t, want, fmt.Sprint(typ))
		text, err := typ.MarshalText()
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
}
