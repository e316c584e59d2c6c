package inspect

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/inspect"
	"github.com/wechatws/wechatws/internal/browsertest/chromium"
	"github.com/wechatws/wechatws/wstest"
)

// oneClient is a page with one client, "shop", that is open.
func oneClient(t *testing.T, options ...inspect.Option) (*inspect.Page, *wechatws.Client) {
	server := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
	t.Cleanup(server.Close)
	client, err := wechatws.New(server.URL(), wechatws.WithProxy(nil), wechatws.WithNetDial(server.DialContext))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(wechatws.StatusNormalClosure, "") })
	if err := client.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	page := inspect.New(options...)
	page.Add("shop", client)
	return page, client
}

// Where reconnecting is not allowed there is nothing to press.
func TestNoButtonWithoutLeave(t *testing.T) {
	path := chromium.Find(t)
	page, _ := oneClient(t)
	site := serve(t, page, "127.0.0.1:0")
	for _, d := range devices {
		t.Run(d.name, func(t *testing.T) {
			b := openPage(t, path, "http://"+site.Addr+"/debug/wechatws/", d)
			b.waitFor("the client", `shown().length === 1 && shown()[0].state === "open"`)
			b.do("opening it", chromedp.Click(chromedp.CSS(`#rows .who`)))
			b.waitFor("it is open", `id("one").open && id("d-name").textContent === "shop"`)
			if n := evaluate[int](b, `[...document.querySelectorAll("button")].filter(e => /reconnect/i.test(e.textContent) && e.checkVisibility()).length`); n != 0 {
				b.t.Errorf("%d buttons to reconnect", n)
			}
			b.fits()
			b.noComplaints()
		})
	}
}

// Another web site tries to press the button, in the browser of somebody who may.
func TestAnotherSiteCannotReconnect(t *testing.T) {
	path := chromium.Find(t)
	page, client := oneClient(t, inspect.WithReconnect())
	var mu sync.Mutex
	answers := map[string]int{} // to reconnect, by where it came from
	site := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		noted := &statusWriter{ResponseWriter: w}
		page.ServeHTTP(noted, r)
		if r.URL.Query().Has("reconnect") {
			mu.Lock()
			defer mu.Unlock()
			answers[r.Method+" "+r.Header.Get("Sec-Fetch-Site")] = noted.status
		}
	}), "127.0.0.1:0")
	evil := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, `<!doctype html><title>cheap tea</title><link rel="icon" href="data:,">`)
	}), "127.0.0.1:0")
	_, evilPort, _ := net.SplitHostPort(evil.Addr)
	target := "http://" + site.Addr + "/debug/wechatws/?reconnect=1"
	for from, host := range map[string]string{"same-site": "127.0.0.1", "cross-site": "localhost"} {
		b := openPage(t, path, "http://"+net.JoinHostPort(host, evilPort)+"/debug/wechatws/", devices[1])
		b.run(fmt.Sprintf(`window.done = false; fetch(%s, { method: "POST", mode: "no-cors" }).catch(() => {}).finally(() => { done = true; })`, chromium.Quote(target)))
		b.waitFor("it was asked for", `done`)
		b.run(fmt.Sprintf(`document.body.append(Object.assign(document.createElement("form"), { method: "post", action: %s })); document.forms[0].submit()`, chromium.Quote(target)))
		b.waitFor("it was refused", `document.body.textContent.includes("this is not for other web sites")`)
		b.do("and read", chromedp.Navigate(target))
		mu.Lock()
		if answers["POST "+from] != http.StatusForbidden {
			t.Errorf("%s: %v", from, answers)
		}
		mu.Unlock()
	}
	for _, origin := range []string{"http://evil.example", "null", "http://" + evil.Addr} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("origin %s: %d", origin, res.StatusCode)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for how, status := range answers {
		if strings.HasPrefix(how, "GET") && status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", how, status)
		}
	}
	if s := client.Stats(); s.Opens != 1 || s.Disconnects.Total() != 0 {
		t.Errorf("the client was reconnected: %+v", s)
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A page for several processes: a column says where, and only the clients of this one
// have a button.
func TestRowsFromElsewhere(t *testing.T) {
	path := chromium.Find(t)
	page, _ := oneClient(t, inspect.WithReconnect())
	began := time.Now()
	var rows []inspect.Row
	for i := range 40 {
		rows = append(rows, inspect.Row{
			Name: fmt.Sprintf("shop %d of a name that is not short at all", i+1), Where: fmt.Sprintf("worker-%d.eu-central.example.com", i%4+1),
			Stats: wechatws.Stats{State: wechatws.StateOpen, Since: began, Opens: 1, Attempts: 1},
		})
	}
	defer page.AddRows(slices.Values(rows))()
	site := serve(t, page, "127.0.0.1:0")
	between := []device{{name: "tablet", width: 820, height: 1180, scale: 1}, {name: "narrow", width: 901, height: 800, scale: 1}, {name: "laptop", width: 1279, height: 800, scale: 1}}
	for _, d := range append(between, devices...) {
		t.Run(d.name, func(t *testing.T) {
			b := openPage(t, path, "http://"+site.Addr+"/debug/wechatws/", d)
			b.waitFor("all of them", `counted().all === 41`)
			b.fits()
			b.sortBy("where")
			b.waitFor("this process first", `shown()[0].name === "shop" && wheres()[0] === "" && wheres()[1].startsWith("worker-1")`)
			b.picture(d.name + "-where")
			b.filter("worker-3")
			b.waitFor("by where", `id("shown").textContent === "10 of 41" && wheres().every(w => w.startsWith("worker-3"))`)
			b.do("opening one", chromedp.Click(chromedp.CSS(`#rows .who`)))
			b.waitFor("it says where", `id("one").open && facts.where.textContent.startsWith("worker-3") && facts.where.checkVisibility()`)
			if evaluate[bool](b, `id("d-again").checkVisibility() || [...document.querySelectorAll("#rows .again")].some(e => e.checkVisibility())`) {
				t.Error("a client of another process has a button")
			}
			b.fits()
			b.noComplaints()
		})
	}
}
