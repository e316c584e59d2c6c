package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/wechatws/wechatws"
)

// open calls the method apps.connections.open of the HTTP API, which returns the URL for one
// connection.
func open(ctx context.Context, api, token string) (wechatws.Endpoint, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, api+"/apps.connections.open", nil)
	if err != nil {
		return wechatws.Endpoint{}, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return wechatws.Endpoint{}, err
	}
	defer response.Body.Close()
	var answer struct {
		OK         bool
		URL, Error string
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return wechatws.Endpoint{}, err
	}
	if !answer.OK {
		return wechatws.Endpoint{}, wechatws.Permanent(errors.New("slack: " + answer.Error))
	}
	return wechatws.Endpoint{URL: answer.URL}, nil
}
