package trials

import (
	"context"
	"errors"
	"fmt"
	"testing"

	backoff4 "github.com/cenkalti/backoff/v4"
	backoff5 "github.com/cenkalti/backoff/v5"
	backoff6 "github.com/cenkalti/backoff/v6"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// The root module requires one major version of cenkalti/backoff. Programs that use another
// one mark their errors with that.
func TestBackOffsPermanentOfEachMajorVersion(t *testing.T) {
	for name, mark := range map[string]func(error) error{
		"v4": func(err error) error { return backoff4.Permanent(err) },
		"v5": backoff5.Permanent,
		"v6": backoff6.Permanent,
	} {
		revoked := errors.New("revoked")
		c, err := wechatws.New("", wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
			return wechatws.Endpoint{}, fmt.Errorf("token: %w", mark(revoked))
		}))
		require.NoError(t, err)
		require.ErrorIs(t, c.Connect(t.Context()), revoked, name)
		require.Equal(t, 1, c.Stats().Attempts, name)
	}
}
