package liveroom

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// largeMessage is 1 MiB of fields, none of which is one of a refusal.
func largeMessage() wechatws.Message {
	var b strings.Builder
	b.WriteString(`{"msg_type":"x"`)
	for i := 0; b.Len() < 1<<20-40; i++ {
		fmt.Fprintf(&b, `,"%x":1`, i)
	}
	return wechatws.Message{Type: "x", Data: []byte(b.String() + "}")}
}

var byCode = config{refusals: []Refusal{{Field: "code", Not: []string{"0"}, Text: "msg"}}}

// A message that is no refusal is not decoded to find that out.
func TestAMessageIsNotDecodedForRefusals(t *testing.T) {
	m := largeMessage()
	allocs := testing.AllocsPerRun(1, func() {
		if _, refused := byCode.refused(m); refused {
			panic("refused")
		}
	})
	require.LessOrEqual(t, allocs, 10.)
}

func BenchmarkRefusedByField(b *testing.B) {
	m := largeMessage()
	b.SetBytes(int64(len(m.Data)))
	b.ReportAllocs()
	for b.Loop() {
		byCode.refused(m)
	}
}
