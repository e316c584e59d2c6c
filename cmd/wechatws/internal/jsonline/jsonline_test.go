package jsonline

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestALineIsHarmlessAndKeepsItsContent(t *testing.T) {
	const text = "a\x1b[31m\u009b2J\u202eb\u007f\U000e0041 <é> 你好"
	var out bytes.Buffer
	require.NoError(t, Write(&out, map[string]any{"text": text, "raw": json.RawMessage("{\"k\":\"\u009b\"}")}))
	assert.Equal(t, `{"raw":{"k":"\u009b"},"text":"a\u001b[31m\u009b2J\u202eb\u007f\udb40\udc41 <é> 你好"}`+"\n", out.String())
	var back map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	assert.Equal(t, text, back["text"])
}
