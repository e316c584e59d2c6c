package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

// chinese returns the Chinese words of the page, by the English ones.
func chinese(t *testing.T) map[string]string {
	t.Helper()
	_, table, ok := strings.Cut(pageHTML, "const chinese = {\n")
	require.True(t, ok)
	table, _, ok = strings.Cut(table, "\n};\n")
	require.True(t, ok)
	words := map[string]string{}
	for line := range strings.Lines(table) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		m := regexp.MustCompile(`^"(.*)": "(.*)",$`).FindStringSubmatch(line)
		require.NotNil(t, m, line)
		require.NotContains(t, words, m[1], "twice")
		words[m[1]] = m[2]
	}
	return words
}

// Whatever the page shows in English it shows in Chinese.
func TestThePageHasChineseWordsForAllItShows(t *testing.T) {
	var shown []string
	body := pageHTML[strings.Index(pageHTML, "<main>"):strings.Index(pageHTML, "</main>")]
	for _, m := range regexp.MustCompile(`>([^<]+)<|(?:aria-label|placeholder)="([^"]+)"`).FindAllStringSubmatch(body, -1) {
		if text := strings.TrimSpace(m[1] + m[2]); regexp.MustCompile(`[A-Za-z]{2}`).MatchString(text) {
			shown = append(shown, text)
		}
	}
	script := pageHTML[strings.Index(pageHTML, "<script"):]
	for _, m := range regexp.MustCompile(`words\(([^;]*?)\)`).FindAllStringSubmatch(script, -1) {
		for _, text := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(m[1], -1) {
			shown = append(shown, text[1])
		}
	}
	require.Greater(t, len(shown), 30)
	for state := wechatws.StateIdle; state <= wechatws.StateFailed; state++ {
		shown = append(shown, state.String())
	}
	for _, kind := range kinds {
		shown = append(shown, "cause "+kind.name)
	}
	// What the buttons answer.
	show := newStage(demo().room, nil)
	shown = append(shown, show.cut().Error())
	require.NoError(t, show.restart())
	shown = append(shown, show.restart().Error())
	show.close()
	for _, body := range []string{`{"text":""}`, `{"text":"` + strings.Repeat("x", maxText+1) + `"}`, `{"text":"x","name":"` + strings.Repeat("x", maxName+1) + `"}`} {
		answer, err := io.ReadAll(ask(t, newPage(t.Context(), noView, &pressed{}), "POST", "/say", body, nil).Body)
		require.NoError(t, err)
		shown = append(shown, strings.TrimSpace(string(answer)))
	}

	words := chinese(t)
	for _, text := range shown {
		if text == "cause " { // and a kind
			continue
		}
		assert.Contains(t, words, text)
	}
	for english, text := range words {
		assert.Contains(t, shown, english, "it is not shown any more")
		assert.True(t, strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }), text)
		assert.NotRegexp(t, `\p{Han}[,:;?!()]|[,:;?!()]\p{Han}`, text, "half-width punctuation")
		assert.NotRegexp(t, `\p{Han}[A-Za-z0-9]|[A-Za-z0-9]\p{Han}`, text, "no space")
	}
}

func TestCauses(t *testing.T) {
	dial := func(err error) error { return &wechatws.DialError{Phase: "dial", Err: err} }
	for want, err := range map[string]error{
		"":            nil,
		"reconnect":   &wechatws.CloseError{Err: wechatws.ErrReconnect},
		"half-open":   fmt.Errorf("it ended: %w", &wechatws.CloseError{Err: wechatws.ErrHalfOpen}),
		"silent room": &wechatws.CloseError{Err: liveroom.ErrSilentRoom},
		"no join":     dial(&liveroom.JoinError{Missing: "join", After: time.Second}),
		"protocol":    &wechatws.CloseError{Code: wechatws.StatusProtocolError, Err: wechatws.ErrProtocol},
		"refused":     dial(&wechatws.HandshakeError{Status: 403}),
		"no server":   dial(fmt.Errorf("connect: %w", syscall.ECONNREFUSED)),
		"not reached": dial(io.EOF),
		"closed":      &wechatws.CloseError{Code: wechatws.StatusGoingAway, Remote: true},
		"lost":        &wechatws.CloseError{Code: wechatws.StatusAbnormalClosure, Remote: true, Err: io.EOF},
	} {
		got := causeOf(err)
		assert.Equal(t, want, got.Kind, "%v", err)
		assert.Equal(t, err == nil, got.Text == "")
	}
	assert.Equal(t, "lost", causeOf(errors.New("anything else")).Kind)
}
