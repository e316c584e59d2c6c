package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/fleet"
)

func TestStorage(t *testing.T) {
	w := newWorld(t)
	w.ctl("add", "red", "--endpoint", w.srv.URL())
	w.ctl("send", "red", `{"msg_type":"x"}`)
	assert.Regexp(t, `^STREAM MESSAGES BYTES OF FULL AGE KEPT FOR\n`+
		`KV_wechatws-rooms N N N 0% [TIME0s]+ -\n`+
		`KV_wechatws-leases-N 0 0 N 0% - -\n`+
		`wechatws-in 0 0 N 0% - [\dhms]+\n`+
		`wechatws-out N N N 0% [TIME0s]+ `, same(w.ctl("storage")))
	assert.Regexp(t, `{"stream":"KV_wechatws-leases-N","bytes":0,"max_bytes":N,"messages":0,"age_seconds":0}\n`+
		`{"stream":"wechatws-in","bytes":0,"max_bytes":N,"messages":0,"age_seconds":0,"max_age_seconds":N}\n`+
		`{"stream":"wechatws-out","bytes":N,"max_bytes":N,"messages":N,"age_seconds":[N0]`, same(w.ctl("storage", "--json")))
	_, _, code := w.try(t.Context(), "", "storage", "x")
	assert.Equal(t, wrong, code)

	assert.Equal(t, []string{"wechatws-in", "3", "850", "1000", "85%", "1m0s", "24h0m0s"},
		storageRow(fleet.StorageStatus{Stream: "wechatws-in", Messages: 3, Bytes: 850, MaxBytes: 1000, Age: time.Minute, MaxAge: 24 * time.Hour}))
	row := storageRow(fleet.StorageStatus{MaxBytes: -1})
	assert.Equal(t, []string{"", ""}, row[3:5], "it has no bound")
}
