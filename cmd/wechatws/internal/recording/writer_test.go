package recording

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/redact"
)

// message writes a message of the client or the server.
func message(w *Writer, event, text string) {
	w.message(Event{Conn: 1, Event: event}, false, []byte(text), int64(len(text)))
}

func TestSecretsAreNotRecorded(t *testing.T) {
	for _, included := range []bool{false, true} {
		var out bytes.Buffer
		c := Config{Limit: 1 << 20, Login: []byte(`{"token":"s3cret"}`), Heartbeat: []byte("ping")}
		if !included {
			c.Secrets = redact.New("s3cret")
		}
		w, err := NewWriter(&out, c)
		require.NoError(t, err)
		message(w, Sent, `{"token":"s3cret"}`)
		message(w, Sent, "ping")
		message(w, Received, "hello s3cret")
		r, err := Read(strings.NewReader(out.String()))
		require.NoError(t, err)
		assert.Equal(t, included, r.Secrets)
		events := r.Attempts[0]
		require.Len(t, events, 3)
		assert.True(t, events[0].Secret)
		assert.True(t, events[1].Heartbeat)
		if included {
			assert.Equal(t, "hello s3cret", *events[2].Text)
		} else {
			assert.Nil(t, events[0].Text)
			assert.Equal(t, "hello [secret]", *events[2].Text)
			assert.NotContains(t, out.String(), "s3cret")
		}
	}
}

func TestARecordingEndsAtItsLimit(t *testing.T) {
	var out bytes.Buffer
	var problems []error
	w, err := NewWriter(&out, Config{Limit: 4 << 10, Problem: func(err error) { problems = append(problems, err) }})
	require.NoError(t, err)
	for range 100 {
		message(w, Received, strings.Repeat("x", 100))
	}
	assert.Equal(t, []error{ErrFull}, problems)
	assert.Less(t, out.Len(), 5<<10)
	assert.True(t, strings.HasSuffix(out.String(), `"event":"full"}`+"\n"), out.String()[out.Len()-100:])
	_, err = Read(&out)
	require.NoError(t, err)
}

func TestADiskThatIsFullIsReportedOnce(t *testing.T) {
	var problems []error
	disk := &full{after: 1}
	w, err := NewWriter(disk, Config{Limit: 1 << 20, Problem: func(err error) { problems = append(problems, err) }})
	require.NoError(t, err)
	for range 3 {
		message(w, Received, "x")
	}
	require.Len(t, problems, 1)
	assert.ErrorIs(t, problems[0], errDisk)
}

var errDisk = errors.New("no space left on device")

// A full is a disk that takes a number of writes.
type full struct{ after int }

func (f *full) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestALongMessageIsCut(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, Config{Limit: 8 << 20})
	require.NoError(t, err)
	data := strings.Repeat("好", maxMessage/3+10)
	w.message(Event{Conn: 1, Event: Received}, false, []byte(data)[:maxMessage], int64(len(data)))
	r, err := Read(&out)
	require.NoError(t, err)
	e := r.Attempts[0][0]
	assert.EqualValues(t, len(data), e.Size)
	assert.True(t, strings.HasPrefix(data, *e.Text))
	assert.Greater(t, len(*e.Text), maxMessage-4)
	assert.Equal(t, 1, r.Incomplete)
}
