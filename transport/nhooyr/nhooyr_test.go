package nhooyr_test

import (
	"context"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

// What a Dialer must do is tested in internal/conformance, for this one too.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleDialer() {
	server := wstest.NewServer()
	defer server.Close()

	client, err := wechatws.New(server.URL(), wechatws.WithDialer(nhooyr.Dialer{}))
	if err != nil {
		panic(err)
	}
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(client.State())
	if err := client.Close(wechatws.StatusNormalClosure, "bye"); err != nil {
		panic(err)
	}
	// Output: open
}
