package inspect

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

func object(t *testing.T, b []byte) fact {
	t.Helper()
	var f fact
	require.NoError(t, json.Unmarshal(b, &f), string(b))
	return f
}

func sample() row {
	return row{
		id: "7", name: "shop", where: "worker 3", here: true, state: wechatws.StateWaiting, since: 1, retryAt: 2, attempt: 3, attempts: 4, opens: 5,
		disconnects: wechatws.Disconnects{Closed: 6, Lost: 7, HalfOpen: 8, Protocol: 9, Local: 10},
		in:          11, inBytes: 12, out: 13, outBytes: 14, dropped: 15,
		queued: 16, queuedBytes: 17, maxQueued: 18, inbox: 19, maxInbox: 20, rtt: 21, maxRTT: 22,
		strip: "348:-118o2", errors: `[{"at":1,"text":"x","times":2}]`, inRate: 235, outRate: unknown,
	}
}

func TestARowTellsEverythingOnce(t *testing.T) {
	r := sample()
	require.Equal(t, fact{
		"id": "7", "name": "shop", "where": "worker 3", "here": true, "state": "waiting", "since": 1., "retry_at": 2., "attempt": 3., "attempts": 4., "opens": 5.,
		"disconnects_closed": 6., "disconnects_lost": 7., "disconnects_half_open": 8., "disconnects_protocol": 9., "disconnects_local": 10.,
		"in": 11., "in_bytes": 12., "out": 13., "out_bytes": 14., "dropped": 15.,
		"queued": 16., "queued_bytes": 17., "max_queued": 18., "inbox": 19., "max_inbox": 20., "rtt_us": 21., "max_rtt_us": 22.,
		"strip": "348:-118o2", "errors": []any{map[string]any{"at": 1., "text": "x", "times": 2.}},
		"in_rate": 23.5, "out_rate": nil,
	}, object(t, r.appendChanges(nil, nil)))

	zero := row{errors: "[]"}
	require.Len(t, object(t, zero.appendChanges(nil, nil)), 31, "all fields, also those that are zero")
}

func TestARowTellsOnlyWhatHasChanged(t *testing.T) {
	r := sample()
	require.Equal(t, fact{"id": "7"}, object(t, r.appendChanges(nil, &r)))
	told := 0
	var changeEach func(v reflect.Value, name string)
	changeEach = func(v reflect.Value, name string) {
		for i := range v.NumField() {
			field, name := v.Type().Field(i), name+v.Type().Field(i).Name
			if field.Type.Kind() == reflect.Struct {
				changeEach(v.Field(i), name+".")
				continue
			}
			if name == "id" {
				continue
			}
			had := sample()
			other := reflect.ValueOf(&had).Elem()
			other = fieldByPath(other, name)
			other = reflect.NewAt(other.Type(), other.Addr().UnsafePointer()).Elem() // unexported
			switch other.Kind() {
			case reflect.String:
				other.SetString("other")
			case reflect.Bool:
				other.SetBool(!other.Bool())
			default:
				other.SetInt(other.Int() + 1)
			}
			require.NotEqual(t, had, sample())
			changed := object(t, r.appendChanges(nil, &had))
			require.Len(t, changed, 2, "a change of %s is told, and nothing else: %v", name, changed)
			told++
		}
	}
	changeEach(reflect.ValueOf(&r).Elem(), "")
	require.Equal(t, 30, told)
}

func fieldByPath(v reflect.Value, path string) reflect.Value {
	for i, c := range path {
		if c == '.' {
			return v.FieldByName(path[:i]).FieldByName(path[i+1:])
		}
	}
	return v.FieldByName(path)
}

func TestHostileNamesAreText(t *testing.T) {
	const evil = "</script><img src=x onerror=alert(1)>\n\ndata: {}\r\n\x00\xff\u2028\"\\"
	r := row{id: "1", name: evil, errors: "[]"}
	b := r.appendChanges(nil, nil)
	for _, no := range []string{"<", "\n", "\r", "\x00", "\u2028"} {
		require.NotContains(t, string(b), no)
	}
	require.Equal(t, "</script><img src=x onerror=alert(1)>\n\ndata: {}\r\n\x00\ufffd\u2028\"\\", object(t, b)["name"])
}
