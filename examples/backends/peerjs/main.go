// Peerjs is a peer on a PeerJS server, and answers the offers of other peers.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/wechatws/wechatws"
)

// A signal is a message of the server, or by way of the server of another peer.
type signal struct {
	Type    string `json:"type"`
	Src     string `json:"src,omitempty"`
	Dst     string `json:"dst,omitempty"`
	Payload any    `json:"payload,omitempty"`
}

func main() {
	url := flag.String("url", "ws://127.0.0.1:9000/peerjs", "of the server")
	limit := flag.Duration("for", 24*time.Hour, "how long to run")
	flag.Parse()
	ctx, stop := context.WithTimeout(context.Background(), *limit)
	defer stop()
	log.Println(run(ctx, *url, "bot"))
}

func run(ctx context.Context, url, id string) error {
	client, err := wechatws.New(url+"?key=peerjs&id="+id+"&token="+rand.Text(), wechatws.WithTypeField("type"),
		wechatws.WithHeartbeat(wechatws.Heartbeat{Message: signal{Type: "HEARTBEAT"}}),
		wechatws.WithReply(func(m wechatws.Message) (any, error) { // in the order of the wire: also right before a close
			if m.Type == "ID-TAKEN" {
				return nil, wechatws.Permanent(fmt.Errorf("another peer is %s", id))
			}
			return nil, nil
		}))
	if err != nil {
		return err
	}
	client.OnOpen(func(context.Context, wechatws.OpenEvent) { log.Print("connected") })
	wechatws.On(client, "OFFER", func(ctx context.Context, offer signal) {
		log.Print("an offer from ", wechatws.Printable(offer.Src))
		_ = client.Send(ctx, signal{Type: "ANSWER", Dst: offer.Src, Payload: offer.Payload}) // a real one has the SDP
	})
	return client.Run(ctx)
}
