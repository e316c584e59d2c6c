package inspect_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/inspect"
)

func ExampleNew() {
	client, err := wechatws.New("wss://shop.example/live")
	if err != nil {
		fmt.Println(err)
		return
	}
	page := inspect.New()
	remove := page.Add("shop 17", client)
	defer remove()

	// As with net/http/pprof: mount it where only operators get to.
	mux := http.NewServeMux()
	mux.Handle("/debug/wechatws/", page)
	internal := httptest.NewServer(mux) // a program: http.ListenAndServe("127.0.0.1:6060", mux)
	defer internal.Close()

	fmt.Println(title(internal.URL + "/debug/wechatws/"))
	// Output: WebSocket clients
}

// With the button, and behind a sign-in of the program's own.
func ExampleWithReconnect() {
	page := inspect.New(inspect.WithReconnect())
	signedIn := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, password, _ := r.BasicAuth(); password != "of the operators" {
				w.Header().Set("WWW-Authenticate", "Basic")
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/wechatws/", signedIn(page))
	site := httptest.NewServer(mux)
	defer site.Close()

	url := site.URL + "/debug/wechatws/"
	fmt.Println(title(url))
	fmt.Println(title(strings.Replace(url, "//", "//me:of%20the%20operators@", 1)))
	// Output:
	// 401 Unauthorized
	// WebSocket clients
}

// One page for the clients of several processes. How their statistics get here is the
// program's own affair; here is what it does with the newest ones.
func ExamplePage_AddRows() {
	var newest atomic.Pointer[[]inspect.Row]
	newest.Store(&[]inspect.Row{
		{Name: "shop 17", Where: "worker 1", Stats: wechatws.Stats{State: wechatws.StateOpen, Since: time.Now()}},
		{Name: "shop 18", Where: "worker 2", Stats: wechatws.Stats{State: wechatws.StateOpen, Since: time.Now()}},
	})
	page := inspect.New()
	remove := page.AddRows(func(yield func(inspect.Row) bool) {
		for _, row := range *newest.Load() { // does not wait
			if !yield(row) {
				return
			}
		}
	})
	defer remove()
	site := httptest.NewServer(page)
	defer site.Close()

	fmt.Println(title(site.URL))
	// Output: WebSocket clients
}

// title is the title of the page at an address, or why there is none.
func title(address string) string {
	res, err := http.Get(address)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	_, rest, found := strings.Cut(string(body), "<title>")
	if !found {
		return res.Status
	}
	title, _, _ := strings.Cut(rest, "</title>")
	return title
}
