package jsonline

import "encoding/json"

// A Payload is the content of a message: one of its fields is set.
type Payload struct {
	Data   json.RawMessage `json:"data,omitempty"`
	Raw    *string         `json:"raw,omitempty"`    // instead of data, when that is not JSON
	Binary []byte          `json:"binary,omitempty"` // as base64
}

// PayloadOf returns the payload with data.
func PayloadOf(binary bool, data []byte) Payload {
	if binary {
		return Payload{Binary: data}
	}
	if json.Valid(data) {
		return Payload{Data: data}
	}
	raw := string(data)
	return Payload{Raw: &raw}
}
