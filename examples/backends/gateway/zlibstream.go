package main

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"strings"

	"github.com/wechatws/wechatws"
)

const limit = 16 << 20 // bytes of one message, packed or not

// inflate undoes the transport compression: all messages of a connection are one zlib stream,
// and each of them ends with a flush.
func inflate(int) func(wechatws.Message) ([]wechatws.Message, error) {
	var packed, window []byte // the message so far; the 32 KiB that a message may refer to
	header := 2               // bytes in front of the first message
	return func(m wechatws.Message) ([]wechatws.Message, error) {
		if packed = append(packed, m.Data...); len(packed) > limit {
			return nil, errors.New("inflate: message is too long")
		}
		if !bytes.HasSuffix(packed, []byte("\x00\x00\xff\xff")) {
			return nil, nil // the rest follows
		}
		last := strings.NewReader("\x01\x00\x00\xff\xff") // an empty block that ends a stream
		stream := flate.NewReaderDict(io.MultiReader(bytes.NewReader(packed[header:]), last), window)
		data, err := io.ReadAll(io.LimitReader(stream, limit))
		if err != nil {
			return nil, err
		}
		packed, header = packed[:0], 0
		window = append(window, data...)
		window = bytes.Clone(window[max(0, len(window)-32<<10):])
		return []wechatws.Message{{Data: data}}, nil
	}
}
