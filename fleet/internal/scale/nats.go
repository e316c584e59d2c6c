//go:build linux

package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/wechatws/wechatws/fleet"
)

// serveNATS is a process with nothing but the embedded server.
func serveNATS(ended <-chan struct{}) error {
	f, err := fleet.Open(context.Background(), fleet.WithListen("127.0.0.1:0", ""))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewEncoder(os.Stdout).Encode(f.URL()); err != nil {
		return err
	}
	<-ended
	return nil
}
