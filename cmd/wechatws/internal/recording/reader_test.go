package recording

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const header = `{"recording":"wechatws","version":1,"started":"2026-11-30T00:00:00Z","url":"ws://h"}` + "\n"

func TestRead(t *testing.T) {
	r, err := Read(strings.NewReader(header +
		`{"t":0.1,"conn":1,"event":"refused","status":503,"retry_after":"3"}` + "\n" +
		`{"t":1,"conn":2,"event":"open"}` + "\n" +
		`{"t":1.5,"conn":2,"event":"received","text":"{","size":9}` + "\n" +
		`{"t":2,"conn":2,"event":"closed","by":"server","code":4000}` + "\n" +
		`{"t":2,"conn":2,"event":"full"}` + "\n" +
		`{"t":3,"conn":3,"ev`))
	require.NoError(t, err)
	assert.Equal(t, "ws://h", r.URL)
	require.Len(t, r.Attempts, 2)
	assert.Equal(t, []Event{{T: 0.1, Conn: 1, Event: Refused, Status: 503, RetryAfter: "3"}}, r.Attempts[0])
	assert.Len(t, r.Attempts[1], 3)
	assert.Equal(t, 1, r.Incomplete)
	assert.True(t, r.Cut)
}

func TestReadRefusesWhatIsNoRecording(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "it is not a recording",
		"hello\n":                              "it is not a recording",
		`{"version":1}`:                        "it is not a recording",
		`{"recording":"wechatws","version":2}`: "version 2 of the format; this program reads version 1",
		header + "{}\n":                        "line 2: conn must be above zero",
		header + `{"conn":1,"t":1e300,"event":"open"}` + "\n":                   "line 2: conn must be above zero, and t",
		header + `{"conn":1,"event":"opened"}` + "\n":                           `line 2: unknown event "opened"`,
		header + `{"conn":1,"event":"closed","by":"server","code":1006}` + "\n": "line 2: code 1006 is none that can be sent",
		header + `{"conn":1,"event":"closed"}` + "\n":                           `by "" must be server or client`,
		header + `{"conn":1,"event":"closed","by":"server","cut":"RIP"}` + "\n": `cut "RIP" must be FIN or RST`,
		header + `{"conn":1,"event":"refused","status":7}` + "\n":               "status 7 must have three digits",
		header + strings.Repeat(`{"conn":1,"event":"full"}`+"\n", maxLines):     "it has more than 1048576 lines",
		header + strings.Repeat("x", maxLine+1):                                 "line 2: it has more than 8388608 bytes",
	} {
		_, err := Read(strings.NewReader(text))
		assert.ErrorContains(t, err, want, text[:min(len(text), 100)])
	}
}

func FuzzRead(f *testing.F) {
	f.Add(header + `{"t":1,"conn":2,"event":"open"}` + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, attempt := range r.Attempts {
			require.NotEmpty(t, attempt)
		}
	})
}
