package peek

import (
	"encoding/json"
	"strconv"
)

// Token returns the first token of the value at a path: a whole string, number, boolean or null, or
// an opening bracket; nil if there is no value. The elements of the path are names of fields; one
// that is a decimal number is also the index of an array's element. Token reports false if data is
// not valid JSON up to there.
func Token(data []byte, path []string) (token []byte, ok bool) {
	if len(path) == 1 && !isIndex(path[0]) {
		s := scanner{data: data}
		return s.scan(path[0])
	}
	if !Valid(data) {
		return nil, false
	}
	for _, element := range path {
		var object map[string]json.RawMessage
		var array []json.RawMessage
		if json.Unmarshal(data, &object) == nil {
			data = object[element]
		} else if i, err := strconv.Atoi(element); err == nil && json.Unmarshal(data, &array) == nil && i < len(array) && isIndex(element) {
			data = array[i]
		} else {
			return nil, true
		}
	}
	if len(data) > 0 && (data[0] == '{' || data[0] == '[') {
		data = data[:1]
	}
	return data, true
}

func isIndex(element string) bool { return element != "" && element[0] >= '0' && element[0] <= '9' }
