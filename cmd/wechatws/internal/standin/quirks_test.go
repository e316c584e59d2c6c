package standin

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

func TestEveryQuirkIsAFlagWithHelp(t *testing.T) {
	var q liveroomtest.Quirks
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	QuirkFlags(flags, &q)
	fields := reflect.TypeFor[liveroomtest.Quirks]()
	require.Len(t, QuirkNames(), fields.NumField())
	for i := range fields.NumField() {
		assert.NotEmpty(t, usages[fields.Field(i).Name], fields.Field(i).Name)
	}
	assert.Len(t, usages, fields.NumField())
	for _, name := range []string{"numbers-as-strings", "client-id", "escaped-html", "kick-after", "pings-count"} {
		assert.True(t, slices.Contains(QuirkNames(), name), name)
		assert.NotNil(t, flags.Lookup(name), name)
	}
}

func TestFlagsChangeAPreset(t *testing.T) {
	var q liveroomtest.Quirks
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	QuirkFlags(flags, &q)
	require.NoError(t, flags.Parse([]string{"--kick-after", "1s", "--numbers-as-strings=false"}))
	want := liveroomtest.GatewayWorker()
	want.KickAfter, want.NumbersAsStrings = time.Second, false
	assert.Equal(t, want, Quirks(liveroomtest.GatewayWorker(), flags, &q))
}
