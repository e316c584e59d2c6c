package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

func TestRecentErrorsAreFewAndCounted(t *testing.T) {
	var r recent
	require.Equal(t, "[]", r.json())
	require.Empty(t, r.newest())
	for i := range 100 {
		for n := range 3 {
			r.add(time.UnixMilli(int64(1000*i+n)), fmt.Sprintf("error %d", i))
		}
	}
	var list []happened
	require.NoError(t, json.Unmarshal([]byte(r.json()), &list))
	require.Len(t, list, recentErrors)
	require.Equal(t, happened{At: 92002, Text: "error 92", Times: 3}, list[0])
	require.Equal(t, happened{At: 99002, Text: "error 99", Times: 3}, list[recentErrors-1])
	require.Equal(t, "error 99", r.newest())
}

func TestTextsOfErrorsAreShort(t *testing.T) {
	require.Equal(t, "client is closed", plain(wechatws.ErrClosed))
	require.Equal(t, strings.Repeat("x", longestError), plain(errors.New(strings.Repeat("x", longestError))))
	for shift := range 4 {
		text := plain(errors.New(strings.Repeat("x", shift) + strings.Repeat("茶", 1<<20)))
		require.True(t, utf8.ValidString(text))
		require.LessOrEqual(t, len(text), longestError+len("…"))
		require.True(t, strings.HasSuffix(text, "茶…"))
	}
}
