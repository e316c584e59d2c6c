package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/fleet"
)

// specFlags are the flags for a room's spec.
type specFlags struct {
	endpoint              string
	ids, options, secrets map[string]string
	file                  string
}

func (p *specFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&p.endpoint, "endpoint", "", "where to connect")
	flags.StringToStringVar(&p.ids, "id", nil, "what the backend knows the room and ourselves by: name=value")
	flags.StringToStringVar(&p.options, "option", nil, "a setting: name=value")
	flags.StringToStringVar(&p.secrets, "secret", nil, "where the worker finds a secret, and never the secret itself: name=env:VARIABLE or name=file:/path")
	flags.StringVarP(&p.file, "file", "f", "", "a file of specs as JSON: {\"id\":…,\"endpoint\":…,\"ids\":{…},\"options\":{…},\"secrets\":{…}}, one after the other; - is the standard input")
	for _, flag := range []string{"endpoint", "id", "option", "secret"} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
	}
	_ = c.MarkFlagFilename("file", "json", "jsonl", "ndjson")
}

// specs returns the specs in the file, or the spec of the flags. All are read before the first one is
// used.
func (p *specFlags) specs(c *cobra.Command, args []string) ([]fleet.Spec, error) {
	if p.file == "" {
		if len(args) != 1 {
			return nil, usageError{errors.New("give one ROOM, or --file")}
		}
		for flag, values := range map[string]map[string]string{"id": p.ids, "option": p.options, "secret": p.secrets} {
			if _, unnamed := values[""]; unnamed {
				return nil, usageError{fmt.Errorf("--%s: a name is missing before =", flag)}
			}
		}
		return []fleet.Spec{{ID: args[0], Endpoint: p.endpoint, IDs: p.ids, Options: p.options, Secrets: p.secrets}}, nil
	}
	if len(args) > 0 || p.endpoint != "" || p.ids != nil || p.options != nil || p.secrets != nil {
		return nil, usageError{errors.New("with --file everything is in the file")}
	}
	in := c.InOrStdin()
	if p.file != "-" {
		f, err := os.Open(p.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	specs, err := readSpecs(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.file, err)
	}
	return specs, nil
}

// readSpecs reads specs one after the other, or arrays of them.
func readSpecs(in io.Reader) (specs []fleet.Spec, err error) {
	d := json.NewDecoder(in)
	for {
		var raw json.RawMessage
		switch err := d.Decode(&raw); {
		case errors.Is(err, io.EOF):
			return specs, nil
		case err != nil:
			return nil, fmt.Errorf("spec %d: %w", len(specs)+1, err)
		}
		some := []json.RawMessage{raw}
		if raw[0] == '[' {
			if err := json.Unmarshal(raw, &some); err != nil {
				return nil, fmt.Errorf("spec %d: %w", len(specs)+1, err)
			}
		}
		for _, one := range some {
			spec, err := readSpec(one)
			if err != nil {
				return nil, fmt.Errorf("spec %d: %w", len(specs)+1, err)
			}
			specs = append(specs, spec)
		}
	}
}

// readSpec returns an error for a field that it does not know, since the name may be mistyped.
func readSpec(text json.RawMessage) (spec fleet.Spec, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&spec); err != nil {
		return spec, err
	}
	if spec.ID == "" {
		return spec, errors.New("it has no id")
	}
	return spec, nil
}
