package main

import (
	"io"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/jsonline"
)

// writeJSON writes one object and a newline.
func writeJSON(w io.Writer, v any) error { return jsonline.Write(w, v) }
