package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFlags(t *testing.T) {
	c, err := parseFlags([]string{"-url", "ws://h/p", "-name", "Ann", "-token", "t", "-for", "3s", "-plain", "-room", "1", "-live", "2", "-user", "3"}, io.Discard)
	want := config{url: "ws://h/p", name: "Ann", token: "t", room: "1", live: "2", user: "3", runFor: 3 * time.Second, plain: true}
	if err != nil || c != want {
		t.Errorf("got %+v, %v; want %+v", c, err, want)
	}
}

func TestWrongFlagsAreToldWithoutRepeatingThem(t *testing.T) {
	for _, args := range [][]string{
		{"-token=", "s3cret"},
		{"-for", "-3s"},
		{"-user", "s3cret"},
		{"-no-such-flag=s3cret"},
	} {
		var out bytes.Buffer
		if _, err := parseFlags(args, &out); err == nil || errors.Is(err, flag.ErrHelp) {
			t.Errorf("%q: error %v", args, err)
		}
		if out.Len() == 0 || strings.Contains(out.String(), "s3cret") {
			t.Errorf("%q: printed %q", args, &out)
		}
	}
}

func TestHelpNamesEveryFlagAndCommand(t *testing.T) {
	var out bytes.Buffer
	if _, err := parseFlags([]string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error %v", err)
	}
	want := []string{"-url", "-name", "-token", "-for", "-plain", "-room", "-live", "-user"}
	for command := range commands {
		want = append(want, command)
	}
	for _, word := range want {
		if !strings.Contains(out.String(), word) {
			t.Errorf("no %s in\n%s", word, &out)
		}
	}
}
