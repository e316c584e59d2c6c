package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type measure struct {
	Count   int           `json:"count"`
	Took    time.Duration `json:"took"`
	Longest time.Duration `json:"longest,omitzero"`
	At      time.Time     `json:"at,omitzero"`
	Err     error         `json:"err,omitzero"`
	Inner   inner         `json:"inner,omitzero"`
	Token   string        `json:"-"`
	hidden  int
}

type inner struct {
	Wait time.Duration `json:"wait"`
}

func (i inner) LogValue() slog.Value          { return Log(i) }
func (i inner) MarshalJSON() ([]byte, error)  { return JSON(i) }
func (i *inner) UnmarshalJSON(b []byte) error { return Read(b, i) }

func logged(v any) (text, object string) {
	var b, j bytes.Buffer
	none := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key != "it" {
			return slog.Attr{}
		}
		return a
	}}
	slog.New(slog.NewTextHandler(&b, none)).Info("", "it", Log(v))
	slog.New(slog.NewJSONHandler(&j, none)).Info("", "it", Log(v))
	return b.String(), j.String()
}

func TestOneFormInLogsAndJSON(t *testing.T) {
	for _, tt := range []struct {
		v            measure
		text, object string
	}{
		{measure{Token: "s3cret", hidden: 1}, "it.count=0 it.took=0s", `{"count":0,"took":"0s"}`},
		{
			measure{1, 1500 * time.Millisecond, time.Hour, time.Date(2026, 11, 29, 5, 0, 0, 1e6, time.UTC), errors.New("no \"way\""), inner{time.Millisecond}, "s3cret", 1},
			`it.count=1 it.took=1.5s it.longest=1h0m0s it.at=2026-11-29T05:00:00.001Z it.err="no \"way\"" it.inner.wait=1ms`,
			`{"count":1,"took":"1.5s","longest":"1h0m0s","at":"2026-11-29T05:00:00.001Z","err":"no \"way\"","inner":{"wait":"1ms"}}`,
		},
		{measure{Err: (*url.Error)(nil)}, "it.count=0 it.took=0s it.err=<nil>", `{"count":0,"took":"0s","err":"\u003cnil\u003e"}`},
	} {
		text, object := logged(tt.v)
		require.Equal(t, tt.text+"\n", text)
		b, err := JSON(tt.v)
		require.NoError(t, err)
		require.Equal(t, tt.object, string(b))
		require.JSONEq(t, `{"it":`+tt.object+`}`, object)
	}
}

func TestWhatJSONMadeCanBeRead(t *testing.T) {
	in := measure{1, time.Second, time.Hour, time.Date(2026, 11, 29, 5, 0, 0, 1, time.UTC), errors.New("no"), inner{time.Millisecond}, "", 0}
	b, err := JSON(in)
	require.NoError(t, err)
	out := measure{Token: "kept"}
	require.NoError(t, Read(b, &out))
	in.Token = "kept"
	require.Equal(t, in, out)

	require.NoError(t, Read([]byte(`{"took":null,"more":[]}`), &out))
	require.Equal(t, in, out)
	for _, wrong := range []string{`{"took":1}`, `{"took":"1"}`, `{"err":{}}`, `{"count":"1"}`, `[]`, `{`} {
		require.Error(t, Read([]byte(wrong), &out), wrong)
	}
}

func TestAFieldWithoutJSONIsAnError(t *testing.T) {
	_, err := JSON(struct {
		F func() `json:"f"`
	}{func() {}})
	require.ErrorAs(t, err, new(*json.UnsupportedTypeError), fmt.Sprint(err))
}
