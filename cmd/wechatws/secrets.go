package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/doctor"
)

// secretHelp says what SECRET stands for.
const secretHelp = `SECRET and URL are the value itself, env:VARIABLE, or file:/path. The value itself is seen by everyone who can
list processes. Secrets are never shown, also not when the server repeats them.`

// maxSecret is the size of a file with a secret.
const maxSecret = 64 << 10

// secretOf returns the secret that the value of a flag names. Its errors do not have it.
func secretOf(flag, value string) (string, error) {
	secret, err := read(value)
	if err != nil {
		return "", wrongFlag(flag, value, err.Error())
	}
	return secret, nil
}

// urlOf returns the URL that an argument names. Its errors do not have it.
func urlOf(arg string) (string, error) {
	url, err := read(arg)
	if err != nil {
		return "", usage("URL %s: %v", arg, err)
	}
	return url, nil
}

// read returns a value, or the content of the variable or file that it names.
func read(value string) (string, error) {
	source, rest, _ := strings.Cut(value, ":")
	switch source {
	case "env":
		secret := os.Getenv(rest)
		if secret == "" {
			return "", errors.New("the variable is not set, or empty")
		}
		return secret, nil
	case "file":
		secret, err := readSmall(rest, maxSecret)
		if err != nil {
			return "", err
		}
		if secret = strings.TrimRight(secret, "\r\n"); secret == "" {
			return "", errors.New("the file is empty")
		}
		return secret, nil
	}
	return value, nil
}

// readSmall returns the content of a file of at most limit bytes.
func readSmall(path string, limit int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("the file is larger than %d bytes", limit)
	}
	return string(content), err
}

// minSecret is the length below which a value is not taken for a secret: a number such as 7 stands in
// too many other places.
const minSecret = 4

// long returns a secret, and its final word, such as the token in "Bearer token"; nothing if it is short.
func long(secret string) (secrets []string) {
	words := strings.Fields(secret)
	if len(secret) < minSecret || len(words) == 0 {
		return nil
	}
	if last := words[len(words)-1]; len(last) >= minSecret && last != secret {
		secrets = append(secrets, last)
	}
	return append(secrets, secret)
}

// minInArray is the length below which a text in an array is not taken for a secret. In protocols of
// arrays the names of types, rooms and events are such texts.
const minInArray = 16

// secretsIn returns the texts in a login message that may be secrets: all but its type, which is in a
// field with a usual name or the one given. A number, also as a text, may be one only in a field whose
// name says so.
func secretsIn(login string, typeFields ...string) (secrets []string) {
	decoder := json.NewDecoder(strings.NewReader(login))
	decoder.UseNumber()
	var message any
	if decoder.Decode(&message) != nil {
		return nil
	}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		isType := slices.Contains(doctor.TypeNames, name) || slices.Contains(typeFields, name)
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				walk(name, value)
			}
		case []any:
			for _, value := range v {
				walk("", value)
			}
		case string:
			_, err := strconv.ParseFloat(v, 64)
			if isNumber := err == nil; !isType && !isNumber && (name != "" || len(v) >= minInArray) || isSecretName(name) {
				secrets = append(secrets, long(v)...)
			}
		case json.Number:
			if isSecretName(name) {
				secrets = append(secrets, long(v.String())...)
			}
		}
	}
	walk("", message)
	return secrets
}

// secretNames are parts of the names of fields and query parameters that hold secrets. A room's number is
// none: it stands in too many messages.
var secretNames = []string{"token", "key", "secret", "pass", "pwd", "auth", "sig", "session", "sid", "cred", "ticket", "jwt"}

func isSecretName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretNames, func(part string) bool { return strings.Contains(name, part) })
}

// secretsInURL returns the user info and the parameters of a URL that may be secrets.
func secretsInURL(raw string) (secrets []string) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil
	}
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, long(password)...)
	} else { // a token in its place
		secrets = append(secrets, long(u.User.Username())...)
	}
	for name, values := range u.Query() {
		if isSecretName(name) {
			for _, value := range values {
				secrets = append(secrets, long(value)...)
			}
		}
	}
	return secrets
}
