package liveroom_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

func TestAPrintedRoomShowsItsIDAndWhetherItIsJoined(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		for _, format := range []string{"%v", "%+v", "%s"} {
			require.Equal(t, "room 9527, not joined", fmt.Sprintf(format, v.Room))
		}
		require.Equal(t, "%!d(string=room 9527, not joined)", fmt.Sprintf("%d", v.Room))
		v.enter()
		require.Equal(t, "room 9527, joined", v.Room.String())
		require.Equal(t, "liveroom.Room(room 9527, joined)", fmt.Sprintf("%#v", v.Room))
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("", "it", v.Room)
		require.Contains(t, log.String(), `"it":{"room":"9527","joined":true}`)
		v.leaveRoom()
	})
}

func TestAPrintedJoinErrorShowsNoData(t *testing.T) {
	err := &liveroom.JoinError{Got: []wechatws.Message{{Type: "refused", Data: []byte("s3cret")}}}
	require.Equal(t, `&liveroom.JoinError(`+err.Error()+`)`, fmt.Sprintf("%#v", err))
	text, failed := json.Marshal(struct{ Err error }{err})
	require.NoError(t, failed)
	want, _ := json.Marshal(map[string]string{"Err": err.Error()})
	require.Equal(t, string(want), string(text))
}
