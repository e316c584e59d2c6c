// Package inspect drives the page of package inspect in a real browser, with a
// thousand clients. It is in a module of its own, so that the library does not come with
// what drives a browser.
//
//	go test . # needs chromium in PATH
//	go test . -count=1 -after=10m -timeout=20m -screenshots=../../../docs/images # writes the pictures too
package inspect

import (
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/browsertest/chromium"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Args[0] = "price-watch" // the page tells the program's name
	os.Exit(m.Run())
}

func TestPage(t *testing.T) {
	path := chromium.Find(t)
	f := startFleet(t)
	for _, d := range devices {
		t.Run(d.name, func(t *testing.T) {
			site := serve(t, f, "127.0.0.1:0")
			b := openPage(t, path, "http://"+site.Addr+"/debug/wechatws/", d)
			b.waitFor("a thousand clients", `id("stream").textContent === "live" && counted().all === 1000`)
			for _, step := range []struct {
				name string
				run  func(*browser, *fleet)
			}{
				{"the head counts", headCounts},
				{"text stays text", textStaysText},
				{"sort", sorts},
				{"filter", filters},
				{"countdown", countsDown},
				{"one client", showsOne},
				{"reconnect", reconnects},
				{"keyboard", goesByKeyboard},
				{"fingers", hasRoomForFingers},
				{"nothing moves", staysCalm},
				{"fluent", staysFluent},
				{"light and dark", lightAndDark},
				{"a hidden tab rests", restsWhenHidden},
			} {
				ok := t.Run(step.name, func(t *testing.T) {
					on := &browser{t: t, ctx: b.ctx, device: b.device}
					on.reset()
					step.run(on, f)
					on.fits()
				})
				if !ok {
					return
				}
			}
			b.noComplaints()

			_ = site.Close()
			b.waitFor("the page says that the stream is lost", `!id("lost").hidden && id("stream").textContent === "no stream"`)
			b.fits()
			site = serve(t, f, site.Addr)
			b.waitFor("and goes on when it is back", `id("lost").hidden && id("stream").textContent === "live"`)
			_ = site.Close()
		})
	}
}

func serve(t *testing.T, page http.Handler, addr string) *http.Server {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/wechatws/", page)
	site := &http.Server{Handler: mux, Addr: listener.Addr().String(), ReadHeaderTimeout: patience}
	go func() { _ = site.Serve(listener) }()
	t.Cleanup(func() { _ = site.Close() })
	return site
}

// reset is how the page looks at first.
func (b *browser) reset() {
	b.t.Helper()
	b.run(`document.querySelector("dialog").close(); document.activeElement.blur();
		history.replaceState(null, "", location.pathname); dispatchEvent(new Event("hashchange")); scrollTo(0, 0)`)
	b.do("pointing nowhere", chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 0, 0))
	b.drawn()
}

func headCounts(b *browser, f *fleet) {
	b.waitUntil("the states are counted rightly", func() bool {
		had := f.count()
		shown := evaluate[map[string]int](b, `counted()`)
		maps.DeleteFunc(shown, func(_ string, n int) bool { return n == 0 })
		return maps.Equal(had, shown)
	})
	b.waitUntil("and so are the disconnects", func() bool {
		var disconnects wechatws.Disconnects
		for _, c := range f.clients {
			d := c.Stats().Disconnects
			disconnects.Lost += d.Lost
			disconnects.Closed += d.Closed
		}
		text := evaluate[string](b, `id("causes").textContent`)
		return strings.Contains(text, fmt.Sprintf("%d lost", disconnects.Lost)) &&
			strings.Contains(text, fmt.Sprintf("%d closed by the peer", disconnects.Closed))
	})
	b.waitFor("there is a rate of messages", `Number(id("t-in").textContent.replace(/,/g, "")) > 50`)
	if n := evaluate[int](b, `shown().length`); n > 60 {
		b.t.Errorf("%d rows are elements: too many for a browser with a thousand clients", n)
	}
}

func textStaysText(b *browser, f *fleet) {
	b.filter("onerror")
	b.waitFor("a name and an error with HTML in it", fmt.Sprintf(`shown().length === 4 &&
		shown().every(r => r.name.includes(%[1]s) && r.error.includes("onerror=alert(1)"))`, chromium.Quote(evil)))
	if n := evaluate[int](b, `document.querySelectorAll("main img, main b > b, #rows b b, script:not([nonce])").length`); n != 0 {
		b.t.Errorf("text made %d elements", n)
	}
}

// sortBy sorts as one does on the device.
func (b *browser) sortBy(key string) {
	b.t.Helper()
	if evaluate[bool](b, `id("sort").checkVisibility()`) {
		b.run(fmt.Sprintf(`id("sort").value = %q; id("sort").dispatchEvent(new Event("change"))`, key))
	} else {
		b.do("sorting", chromedp.Click(chromedp.CSS(fmt.Sprintf(`#heads [data-sort=%s] button`, key))))
	}
	b.drawn()
}

func sorts(b *browser, f *fleet) {
	names := slices.Sorted(maps.Keys(f.clients))
	b.sortBy("name")
	b.waitFor("sorted by name", fmt.Sprintf(`shown()[0].name === %s`, chromium.Quote(names[0])))
	if !b.device.mobile {
		b.sortBy("name")
		b.waitFor("the other way round", fmt.Sprintf(`shown()[0].name === %s && heads.name.getAttribute("aria-sort") === "descending"`, chromium.Quote(names[len(names)-1])))
	}
	b.sortBy("queue")
	b.waitFor("sorted by queue", `shown()[0].queue > 0 && shown().every((r, n, all) => !n || all[n - 1].queue >= r.queue)`)
	b.sortBy("rtt")
	// Who is the farthest on a machine that is busy is not for a test to say.
	b.waitFor("sorted by round trip: the farthest first", `order.length === 1000 && order[0].rtt_us > 0 &&
		order.every((r, n) => !n || sorts.rtt[1](order[n - 1]) >= sorts.rtt[1](r)) && shown().slice(0, 5).every((r, n) => r.name === order[n].name)`)
	b.sortBy("trouble")
	b.waitFor("trouble first", `shown().slice(0, 5).map(r => r.state).join() === "failed,failed,offline,offline,offline"`)
	b.run(`scrollTo(0, document.documentElement.scrollHeight)`)
	b.waitFor("and what is idle last", `shown().at(-1).state === "idle"`)
}

func filters(b *browser, f *fleet) {
	b.filter("singapore")
	b.waitFor("by name", `id("shown").textContent === "240 of 1,000" && shown().every(r => r.name.includes("singapore"))`)
	b.waitFor("what is added up is what was found", `counted().found === 240 && Object.values(counted()).reduce((a, b) => a + b) === 480`)
	b.filter("403 Forbidden")
	b.waitFor("by error", `id("shown").textContent === "2 of 1,000" && shown().every(r => r.state === "failed")`)
	b.filter("no such shop")
	b.waitFor("nothing", `!id("none").hidden && shown().length === 0`)
	b.do("show all", chromedp.Click(chromedp.CSS("#none button")))
	b.waitFor("all again", `id("shown").textContent === "1,000 clients" && counted().all === 1000`)
	for _, state := range []string{"offline", "failed"} {
		b.do(state, chromedp.Click(chromedp.CSS(".chip[data-state="+state+"]")))
	}
	b.waitFor("by states", `id("shown").textContent === "5 of 1,000" && location.hash.includes("state=")`)
}

func countsDown(b *browser, f *fleet) {
	b.filter("outage")
	// Of one and the same try the time that is left never grows.
	b.run(`window.nexts = {}; window.falls = 0; window.rises = [];
		window.watching = setInterval(() => { if (!frame) for (const r of shown()) { // all that is known is drawn
			const text = /^next in ([\d.]+) s$/.exec(r.next)?.[1];
			if (text === undefined) continue;
			const left = Number(text), had = nexts[r.name], retry = rows.get(r.e.rowID)?.retry_at;
			if (had?.retry === retry && left < had.left) falls++;
			if (had?.retry === retry && left > had.left + 0.1001) rises.push(had.left + " to " + left);
			nexts[r.name] = { left, retry };
		} }, 100)`)
	b.waitFor("the countdowns count", `falls > 100`)
	b.run(`clearInterval(watching)`)
	if rises := evaluate[[]string](b, `rises`); len(rises) > 0 {
		b.t.Errorf("countdowns jumped back: %q", rises)
	}
}

func showsOne(b *browser, f *fleet) {
	b.filter("outage")
	b.drawn()
	b.do("opening one", chromedp.Click(chromedp.CSS(`#rows .who`)))
	b.waitFor("it is open", `id("one").open && id("d-name").textContent.includes("outage")`)
	b.waitFor("with its errors", `/\d+ times/.test(id("d-errors").textContent) && id("d-errors").textContent.includes("refused")`)
	b.fits()
	b.picture(b.device.name + "-one")
	b.do("escape", chromedp.KeyEvent(kb.Escape))
	b.waitFor("it is closed", `!id("one").open`)
}

func reconnects(b *browser, f *fleet) {
	names := slices.Sorted(maps.Keys(f.clients))
	name := names[slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, "hangzhou") })]
	client := f.clients[name]
	before := client.Stats()
	b.filter(name)
	b.waitFor("one row", `shown().length === 1 && shown()[0].state === "open"`)
	if b.device.mobile {
		b.do("opening it", chromedp.Click(chromedp.CSS(`#rows .who`)))
		b.waitFor("it is open", `id("one").open`)
		b.do("reconnecting", chromedp.Click(chromedp.ID(`d-again`)))
	} else {
		b.do("reconnecting", chromedp.Click(chromedp.CSS(`#rows .again`)))
	}
	b.waitUntil("the client has a new connection", func() bool {
		s := client.Stats()
		return s.Opens > before.Opens && s.Disconnects.Local == before.Disconnects.Local+1 && s.State == wechatws.StateOpen
	})
	b.waitFor("the page says so", fmt.Sprintf(`!id("said").hidden && id("said").textContent === %s`, chromium.Quote(name+" reconnects.")))
	if !b.device.mobile {
		b.do("opening it", chromedp.Click(chromedp.CSS(`#rows .who`)))
	}
	b.waitFor("and counts it", fmt.Sprintf(`parseInt(facts.opens.textContent) > %d`, before.Opens))
}

func goesByKeyboard(b *browser, f *fleet) {
	b.sortBy("name")
	names := slices.Sorted(maps.Keys(f.clients))
	b.do("focus", chromedp.Focus(chromedp.CSS(`#rows .who[tabindex="0"]`)))
	at := func(n int) string {
		return fmt.Sprintf(`document.activeElement.textContent === %s`, chromium.Quote(names[n]))
	}
	b.do("home", chromedp.KeyEvent(kb.Home))
	b.waitFor("the first", at(0))
	b.do("down, down", chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown))
	b.waitFor("the third", at(2))
	b.do("the end", chromedp.KeyEvent(kb.End))
	b.waitFor("the last", at(len(names)-1))
	b.do("up", chromedp.KeyEvent(kb.ArrowUp))
	b.waitFor("the last but one", at(len(names)-2))
	b.do("enter", chromedp.KeyEvent(kb.Enter))
	b.waitFor("it is open", fmt.Sprintf(`id("one").open && id("d-name").textContent === %s`, chromium.Quote(names[len(names)-2])))
	b.do("escape", chromedp.KeyEvent(kb.Escape))
	b.waitFor("back where we were", `!id("one").open && `+at(len(names)-2))
	b.do("home", chromedp.KeyEvent(kb.Home))
	b.waitFor("the first again", at(0))
}

// hasRoomForFingers demands that all that can be tapped is 40 pixels wide and high: that
// a tap 19 pixels beside its middle still gets to it.
func hasRoomForFingers(b *browser, f *fleet) {
	if !b.device.mobile {
		return
	}
	small := func() []string {
		return evaluate[[]string](b, `(() => {
			const missed = [];
			for (const e of document.querySelectorAll(id("one").open ? "dialog button" : "main button, main input, main select")) {
				const r = e.getBoundingClientRect();
				let target = e, x = r.x + r.width / 2, y = r.y + r.height / 2;
				if (e.matches(".who")) { // all of its row is the button
					const row = e.closest(".row").getBoundingClientRect();
					x = row.x + row.width / 2, y = row.y + row.height / 2;
				}
				if (!e.checkVisibility() || y < id("tools").getBoundingClientRect().bottom + 19 && e.matches(".who") || y > innerHeight - 20) continue;
				for (const [dx, dy] of [[-19, 0], [19, 0], [0, -19], [0, 19]])
					if (document.elementFromPoint(x + dx, y + dy)?.closest("button, input, select") !== e)
						missed.push((e.id || e.className) + ": " + e.textContent.slice(0, 20) + " " + dx + "," + dy);
			}
			return missed;
		})()`)
	}
	b.filter("shop")
	b.drawn()
	if missed := small(); len(missed) > 0 {
		b.t.Errorf("too small for a finger: %q", missed)
	}
	b.do("opening one", chromedp.Click(chromedp.CSS(`#rows .who`)))
	b.waitFor("it is open", `id("one").open`)
	if missed := small(); len(missed) > 0 {
		b.t.Errorf("too small for a finger: %q", missed)
	}
}

// staysCalm looks as somebody who wants nothing to move.
func staysCalm(b *browser, f *fleet) {
	b.filter("outage")
	b.do("prefer calm", prefer("light", "reduce"))
	b.waitFor("whole seconds", `shown().length > 0 && shown().every(r => r.state !== "waiting" || /^next in \d+ s$/.test(r.next))`)
	if n := evaluate[int](b, `document.getAnimations().length`); n != 0 {
		b.t.Errorf("%d animations", n)
	}
	b.do("prefer nothing", prefer("light", "no-preference"))
	b.waitFor("tenths of seconds", `shown().some(r => /^next in \d+\.\d s$/.test(r.next))`)
}

// staysFluent has the page scroll while updates come, and tells how that went: on a machine
// with other work frames are late anyway.
func staysFluent(b *browser, f *fleet) {
	b.run(`window.frameTimes = []; window.longTasks = []; window.measuring = true; window.ticksSeen = new Set();
		window.observer = new PerformanceObserver(l => longTasks.push(...l.getEntries().map(e => e.duration)));
		observer.observe({ type: "longtask" });
		(() => {
			let last = performance.now(), way = 1;
			const begin = last;
			requestAnimationFrame(function frame(now) {
				frameTimes.push(now - last);
				last = now;
				ticksSeen.add(tick);
				scrollBy(0, 60 * way);
				if (scrollY + innerHeight >= document.documentElement.scrollHeight - 1 || scrollY === 0) way = -way;
				if (now - begin < 9000 || ticksSeen.size < 3) requestAnimationFrame(frame); else { measuring = false; observer.disconnect(); }
			});
		})()`)
	b.waitFor("nine seconds of scrolling, and three updates", `!measuring`)
	type figures struct {
		Frames, Ticks, Long    int
		Median, P99, Most, Sum float64
	}
	n := evaluate[figures](b, `(() => {
		const t = [...frameTimes].sort((a, b) => a - b), at = p => t[Math.floor((t.length - 1) * p)];
		return { Frames: t.length, Ticks: ticksSeen.size, Median: at(.5), P99: at(.99), Most: at(1),
			Long: longTasks.length, Sum: longTasks.reduce((a, b) => a + b, 0) };
	})()`)
	b.t.Logf("scrolling for 9 s with %d updates: %d frames, median %.1f ms, 99 %% within %.1f ms, longest %.1f ms; %d tasks above 50 ms, together %.0f ms",
		n.Ticks, n.Frames, n.Median, n.P99, n.Most, n.Long, n.Sum)
}

func lightAndDark(b *browser, f *fleet) {
	settle(b, f)
	backgrounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		b.do("prefer "+scheme, prefer(scheme, "no-preference"))
		backgrounds[evaluate[string](b, `getComputedStyle(document.body).backgroundColor`)] = scheme
		b.fits()
		b.picture(b.device.name + "-" + scheme)
	}
	b.do("prefer light", prefer("light", "no-preference"))
	if len(backgrounds) != 2 {
		b.t.Errorf("light and dark have the same background: %v", backgrounds)
	}
}

// settle waits until there is something to see on the pictures, and shows it.
func settle(b *browser, f *fleet) {
	b.waitWithin(*after+patience, "enough to see", func() bool { return time.Since(f.started) >= *after })
	b.sortBy("disconnects")
}

func restsWhenHidden(b *browser, f *fleet) {
	if n := f.watched.Load(); n != 1 {
		b.t.Errorf("%d streams for one page", n)
	}
	b.run(`Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
		document.dispatchEvent(new Event("visibilitychange"))`)
	b.waitUntil("the stream is given up", func() bool { return f.watched.Load() == 0 })
	b.run(`delete document.hidden; document.dispatchEvent(new Event("visibilitychange"))`)
	b.waitFor("it goes on", `id("stream").textContent === "live"`)
	b.waitUntil("with one stream", func() bool { return f.watched.Load() == 1 })
}
