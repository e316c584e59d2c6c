// Package liveroom drives the page of the demo in a real browser. It is in a module
// of its own, so that the library does not come with what drives a browser.
//
//	go test .                             # needs chromium in PATH
//	go test . -count=1 -screenshots=/tmp  # writes pictures of the page too
//
// LIVEROOM_DEMO=path tests a demo that is built already, with -race for instance.
package liveroom

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/wechatws/wechatws/internal/browsertest/chromium"
)

var screenshots = flag.String("screenshots", "", "write pictures of the page into this `directory`")

// patience is how long any one thing may take. A backend that restarts is away for
// seconds, and after that the bot may still have a wait before it.
const patience = 30 * time.Second

// A device is a way to look at the page.
type device struct {
	name          string
	width, height int64
	mobile        bool
	languages     string // of the browser
	page          string // the page's language then
}

var devices = []device{
	{name: "phone", width: 375, height: 812, mobile: true, languages: "en-GB,zh", page: "en"},
	{name: "desktop", width: 1280, height: 800, languages: "fr,en", page: "en"},
	{name: "phone-zh", width: 375, height: 812, mobile: true, languages: "fr,zh-TW,en", page: "zh-CN"},
	{name: "desktop-zh", width: 1280, height: 800, languages: "zh-CN,zh,en", page: "zh-CN"},
}

func TestPage(t *testing.T) {
	path := chromium.Find(t)
	demo := buildDemo(t)
	for _, d := range devices {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			url, end := startDemo(t, demo)
			between := newLink(t, url)
			b := openPage(t, path, between.url, d)

			b.waitFor("the bot is in the room", there)
			b.do("giving a name", chromedp.Clear(chromedp.ID("comment-name")), chromedp.SendKeys(chromedp.ID("comment-name"), b.me()))
			// In the order of a person's visit. Each needs what was before it.
			for _, step := range []struct {
				name string
				run  func(b *browser)
			}{
				{"the language of the browser", speaksOneLanguage},
				{"HTML in a comment is text", showsHTMLAsText},
				{"a comment appears", showsComment},
				{"the bot answers", botAnswers},
				{"the connection is cut", func(b *browser) { comesBack(b, "cut", "Are you still there?") }},
				{"the backend restarts", func(b *browser) { comesBack(b, "restart", "That was quick.") }},
				{"reconnect", reconnects},
				{"the language of all that has happened", speaksOneLanguage},
				{"the stream breaks", func(b *browser) { missesNothing(b, between) }},
				{"light and dark", lightAndDark},
			} {
				ok := t.Run(step.name, func(t *testing.T) {
					on := *b
					on.t = t
					step.run(&on)
					on.fits()
				})
				if !ok {
					return
				}
			}
			b.noComplaints()

			// A page that is open must not keep the demo from ending.
			end()
			b.waitFor("the page says that the demo has ended", `!id("lost").hidden && id("lost").textContent !== ""`)
			speaksOneLanguage(b)
		})
	}
}

func showsComment(b *browser) {
	b.say("Hello from a " + b.device.name + "!")
}

func showsHTMLAsText(b *browser) {
	const evil = `<img src=x onerror=alert(1)><b>bold</b>`
	b.say(evil) // finds it as text
	if n := evaluate[int](b, `id("comments").querySelectorAll("img, b").length`); n != 0 {
		b.t.Errorf("a comment made %d elements", n)
	}
}

func botAnswers(b *browser) {
	b.say("price")
	b.waitFor("the bot names a price after it was asked", `said()
		.slice(said().findLastIndex(c => c.name === me && c.text === "price"))
		.some(c => c.name === "bot" && c.text.includes("¥"))`)
}

// comesBack presses a button that makes the bot lose its connection.
func comesBack(b *browser, button, then string) {
	b.watchState()
	b.press(button)
	b.waitFor("the state goes to waiting and back to open", `(() => {
		const waiting = seen.findIndex(s => s.state === "waiting");
		return waiting >= 0 && seen.slice(waiting).some(s => s.state === "open");
	})()`)
	b.waitFor("a countdown with digits was seen", `seen.some(s => s.state === "waiting" && /\d/.test(s.countdown))`)
	b.waitFor("it stays open", there)
	b.say(then) // and it works
	for _, text := range b.said() {
		if n := b.count(text); n != 1 {
			b.t.Errorf("%q is there %d times after the connection came back", text, n)
		}
	}
}

func reconnects(b *browser) {
	before := evaluate[string](b, `id("opens").textContent`)
	b.press("reconnect")
	b.waitFor("one more connection", fmt.Sprintf(`id("opens").textContent !== %q && %s`, before, there))
}

// there is true while the bot is in the room.
const there = `(id("state").dataset.state === "open" && id("live").classList.contains("on"))`

// speaksOneLanguage demands that what the page itself says is in the browser's language, and
// in no other. What people say may be in any, and errors are English.
func speaksOneLanguage(b *browser) {
	b.t.Helper()
	if lang := evaluate[string](b, `document.documentElement.lang`); lang != b.device.page {
		b.t.Errorf("the page is in %s for a browser with %s", lang, b.device.languages)
	}
	wrong := evaluate[[]string](b, fmt.Sprintf(`[document.title, id("comment-text").placeholder, id("notices").ariaLabel, id("comment-name").labels[0].innerText]
		.concat([...document.querySelectorAll("h1, h2, h3, dt, button, #live, #state, #lost, #log span, header p, #countdown")]
			.filter(e => e.checkVisibility() && e.textContent !== "–")
			.map(e => e.innerText.split("（")[0]))
		.filter(text => text && (/\p{Script=Han}/u.test(text) === %t || %[1]t === !/[A-Za-z]{2}/.test(text) && /[A-Za-z]{2}/.test(text)))`, b.device.page == "en"))
	for _, text := range wrong {
		b.t.Errorf("in a page that is in %s: %q", b.device.page, text)
	}
}

// missesNothing breaks the event stream: the page has everything when it is back, and nothing
// twice.
func missesNothing(b *browser, between *link) {
	b.do("watching", chromedp.Evaluate[chromedp.Void](`
		window.wasLost = false;
		new MutationObserver(() => wasLost ||= !id("lost").hidden).observe(id("lost"), { attributes: true });`))
	between.cut()
	b.waitFor("the page said that it was not up to date", `wasLost`)
	b.waitFor("the page goes on", `id("lost").hidden && `+there)
	b.say("I was away.")
	for _, text := range b.said() {
		if n := b.count(text); n != 1 {
			b.t.Errorf("%q is there %d times after the stream came back", text, n)
		}
	}
	b.forgive("net::ERR_") // of the stream
}

func lightAndDark(b *browser) {
	backgrounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		b.do("prefer "+scheme, prefer(scheme))
		backgrounds[evaluate[string](b, `getComputedStyle(document.body).backgroundColor`)] = scheme
		b.fits()
		b.picture(scheme)
	}
	if len(backgrounds) != 2 {
		b.t.Errorf("light and dark have the same background: %v", backgrounds)
	}
}

func prefer(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme},
				{Name: "prefers-reduced-motion", Value: "reduce"}, // pictures without anything half way
			}})
		return err
	})
}

// A browser is one page that is open on a device.
type browser struct {
	t      *testing.T
	ctx    context.Context
	device device

	*heard
}

// heard is what happens beside the test.
type heard struct {
	mu         sync.Mutex
	complaints []string // of the browser about the page
	texts      []string // comments sent
}

func (h *heard) complain(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.complaints = append(h.complaints, fmt.Sprintf(format, args...))
}

// forgive forgets complaints that contain text.
func (h *heard) forgive(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.complaints = slices.DeleteFunc(h.complaints, func(c string) bool { return strings.Contains(c, text) })
}

func (h *heard) said() []string { return h.texts }

// helpers are what the expressions in this file are written with.
const helpers = `
var id = i => document.getElementById(i);
var said = () => [...id("comments").children].map(c => ({
	name: c.querySelector(".name").textContent,
	text: c.querySelector(".text").textContent,
}));
var me = %q;
`

func openPage(t *testing.T, path, url string, d device) *browser {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("accept-lang", d.languages))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium does not start as root with it
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the browser to end
		cancel()
		stop()
	})

	b := &browser{t: t, ctx: ctx, device: d, heard: &heard{}}
	// Neither with a deadline: the browser that this starts ends with its context.
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	emulate := []chromedp.EmulateViewportOption{chromedp.EmulateScale(2)}
	if d.mobile {
		emulate = append(emulate, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	err := chromedp.Do(ctx,
		chromedp.EmulateViewport(d.width, d.height, emulate...),
		chromedp.Navigate(url),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf(helpers, b.me())))
	if err != nil {
		t.Fatalf("opening %s in %s: %v", url, path, err)
	}
	return b
}

func (b *browser) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			args, _ := json.Marshal(e.Args)
			b.complain("console %s: %s", e.Type, args)
		}
	case *runtime.EventExceptionThrown:
		b.complain("exception: %v", e.ExceptionDetails)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.complain("log: %s (%s)", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventLoadingFailed:
		b.complain("a request failed: %s %s", e.Type, e.ErrorText)
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			b.complain("%s: %d", e.Response.URL, e.Response.Status)
		}
	case *page.EventJavascriptDialogOpening:
		b.complain("a dialog: %s", e.Message)
	}
}

func (b *browser) noComplaints() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("the browser complains: %s", c)
	}
}

func (b *browser) me() string { return "Visitor with a " + b.device.name }

func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// waitFor polls until expression is true. chromedp.Poll would need eval in the page,
// which its Content-Security-Policy forbids.
func (b *browser) waitFor(what, expression string) {
	b.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-poll.C {
		if evaluate[bool](b, expression) {
			return
		}
	}
	text := evaluate[string](b, `document.body.innerText`)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Fatalf("not within %v: %s\ncomplaints: %q\nthe page:\n%s", patience, what, b.complaints, text)
}

// press waits until a button can be used, and uses it.
func (b *browser) press(button string) {
	b.t.Helper()
	b.waitFor("#"+button+" can be used", fmt.Sprintf(`id(%q).getAttribute("aria-disabled") !== "true"`, button))
	b.do("clicking #"+button, chromedp.Click(chromedp.ID(button)))
}

// say writes a comment as a person does, and waits for it to appear.
func (b *browser) say(text string) {
	b.t.Helper()
	b.do("writing a comment", chromedp.SendKeys(chromedp.ID("comment-text"), text))
	if b.device.mobile {
		b.press("send")
	} else {
		b.waitFor("#send can be used", `id("send").getAttribute("aria-disabled") !== "true"`)
		b.do("pressing enter", chromedp.SendKeys(chromedp.ID("comment-text"), kb.Enter))
	}
	b.texts = append(b.texts, text)
	b.waitFor("the comment appears", fmt.Sprintf(`said().some(c => c.name === me && c.text === %s)`, chromium.Quote(text)))
	b.waitFor("the input is empty for the next one", `id("comment-text").value === ""`)
}

// count is how many times this visitor's comment is there.
func (b *browser) count(text string) int {
	b.t.Helper()
	return evaluate[int](b, fmt.Sprintf(`said().filter(c => c.name === me && c.text === %s).length`, chromium.Quote(text)))
}

// watchState notes each state and countdown from now on: a wait can be shorter than
// the time between two questions.
func (b *browser) watchState() {
	b.t.Helper()
	b.do("watching the state", chromedp.Evaluate[chromedp.Void](`
		window.seen = [];
		window.watcher?.disconnect();
		window.watcher = new MutationObserver(() =>
			seen.push({ state: id("state").dataset.state, countdown: id("countdown").textContent }));
		for (const i of ["state", "countdown"])
			watcher.observe(id(i), { childList: true, characterData: true, subtree: true });
		`))
}

// fits demands that nothing is wider than the screen. On a phone a page that is too
// wide is shown smaller, so the width itself is looked at too.
func (b *browser) fits() {
	b.t.Helper()
	type width struct {
		What           string
		Scroll, Client int64
	}
	for _, w := range evaluate[[]width](b, `[document.documentElement, ...document.querySelectorAll("main, main > *, #comments, #shelf, #log")]
		.map(e => ({ What: e.id || e.tagName, Scroll: e.scrollWidth, Client: e.clientWidth }))`) {
		if w.Scroll > w.Client {
			b.t.Errorf("%s scrolls sideways: %d wide in %d", w.What, w.Scroll, w.Client)
		}
	}
	if w := evaluate[int64](b, `window.innerWidth`); w != b.device.width {
		b.t.Errorf("the page is %d wide on a screen of %d", w, b.device.width)
	}
}

// picture writes a screenshot if that is asked for: of the screen, and on a phone of
// all there is to scroll through.
func (b *browser) picture(scheme string) {
	b.t.Helper()
	if *screenshots == "" {
		return
	}
	shot := chromedp.CaptureScreenshot()
	if b.device.mobile {
		shot = chromedp.FullScreenshot(100)
	}
	b.do("to the top", chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 0, 0),
		chromedp.Evaluate[chromedp.Void](`document.activeElement.blur(); scrollTo(0, 0)`))
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, shot)
	if err != nil {
		b.t.Fatalf("a screenshot: %v", err)
	}
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, b.device.name+"-"+scheme+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// buildDemo builds the demo as a user does, from the root of the repository.
func buildDemo(t *testing.T) string {
	if path := os.Getenv("LIVEROOM_DEMO"); path != "" {
		return path
	}
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "liveroom")
	build := exec.Command("go", "build", "-o", path, "github.com/wechatws/wechatws/examples/liveroom")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}
	return path
}

var pageURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)

// startDemo starts the demo and finds the address of its page in what it prints. end
// interrupts it, and demands that it ends well.
func startDemo(t *testing.T, path string) (url string, end func()) {
	var stderr bytes.Buffer
	cmd := exec.Command(path, "-addr", "127.0.0.1:0", "-for", "5m")
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	urls, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if u := pageURL.FindString(lines.Text()); u != "" {
				select {
				case urls <- u:
				default: // the first one is enough
				}
			}
		}
		ended <- cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // has ended already, unless the test failed
		<-ended
		if t.Failed() {
			t.Logf("the demo's stderr:\n%s", &stderr)
		}
	})

	select {
	case url = <-urls:
	case err := <-ended:
		t.Fatalf("the demo ended without the address of its page: %v\n%s", err, &stderr)
	case <-time.After(patience):
		t.Fatal("the demo does not print the address of its page")
	}
	return url, func() {
		t.Helper()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatalf("interrupting the demo: %v", err)
		}
		select {
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				t.Fatalf("the demo was interrupted and ended with code %d", exit.ExitCode())
			} else if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("the demo does not end when it is interrupted")
		}
	}
}
