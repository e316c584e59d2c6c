package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log"
	"net/http"

	"github.com/wechatws/wechatws"
)

// endpoint returns a function for WithEndpoint: the URL is that of a kernel, which is a new one
// when the server does not know the old one any more. The session has the server keep what the
// kernel prints while there is no connection.
func endpoint(url string) func(context.Context, int, error) (wechatws.Endpoint, error) {
	kernel, session := "", rand.Text()
	return func(ctx context.Context, _ int, last error) (_ wechatws.Endpoint, err error) {
		var refused *wechatws.HandshakeError
		if kernel == "" || errors.As(last, &refused) && refused.Status == http.StatusNotFound {
			kernel, err = newKernel(ctx, url)
		}
		return wechatws.Endpoint{URL: url + "/api/kernels/" + kernel + "/channels?session_id=" + session}, err
	}
}

// newKernel has the server start a kernel.
func newKernel(ctx context.Context, url string) (id string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/kernels", nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var kernel struct{ ID string }
	err = json.NewDecoder(response.Body).Decode(&kernel)
	log.Print("a new kernel: ", wechatws.Printable(kernel.ID))
	return kernel.ID, err
}

// A request is an execute_request.
type request struct {
	Channel  string   `json:"channel"`
	Header   header   `json:"header"`
	Parent   struct{} `json:"parent_header"`
	Metadata struct{} `json:"metadata"`
	Content  content  `json:"content"`
}

type header struct {
	ID      string `json:"msg_id"`
	Type    string `json:"msg_type"`
	Session string `json:"session"`
	User    string `json:"username"`
	Version string `json:"version"`
}

type content struct {
	Code   string `json:"code"`
	Silent bool   `json:"silent"` // the kernel insists on it
}

// execute makes the request that executes code.
func execute(code string) request {
	return request{Channel: "shell", Header: header{ID: rand.Text(), Type: "execute_request", Version: "5.3"}, Content: content{Code: code}}
}

// reply reports whether m is the kernel's reply to r.
func (r request) reply(m wechatws.Message) bool {
	return m.Type == "execute_reply" && m.Field("parent_header", "msg_id") == r.Header.ID
}
