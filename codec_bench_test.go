package wechatws

import (
	"encoding/json"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
)

// The default codec beside encoding/json, and beside json v2 by its own rules.
func BenchmarkDecode(b *testing.B) {
	type message struct {
		FromName string `json:"from_name"`
		Content  string `json:"content"`
	}
	for name, decode := range map[string]func(v *message) error{
		"default":       func(v *message) error { return jsonCodec{}.Unmarshal(comment, v) },
		"encoding-json": func(v *message) error { return json.Unmarshal(comment, v) },
		"json-v2":       func(v *message) error { return jsonv2.Unmarshal(comment, v) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(new(message)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
