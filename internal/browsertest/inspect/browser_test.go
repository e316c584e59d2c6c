package inspect

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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

	"github.com/wechatws/wechatws/internal/browsertest/chromium"
)

var screenshots = flag.String("screenshots", "", "write pictures of the page into this `directory`")

var after = flag.Duration("after", 0, "take the pictures this `time` after the start, so that there is a past to see")

// patience is how long any one thing may take.
const patience = 40 * time.Second

// A device is a way to look at the page.
type device struct {
	name          string
	width, height int64
	scale         float64 // of the pictures: no larger than a README needs them
	mobile        bool
}

var devices = []device{
	{name: "phone", width: 390, height: 844, scale: 2, mobile: true},
	{name: "desktop", width: 1280, height: 800, scale: 1.5},
}

// A browser is one page that is open on a device.
type browser struct {
	t      *testing.T
	ctx    context.Context
	device device

	mu         sync.Mutex
	complaints []string // of the browser about the page
}

// helpers are what the expressions in the tests are written with.
const helpers = `
var id = i => document.getElementById(i);
var shown = () => [...document.querySelectorAll("#rows > .row")].map(e => ({ e,
	y: e.getBoundingClientRect().top,
	name: e.querySelector(".who").textContent,
	state: e.querySelector(".pill").textContent,
	next: e.querySelector(".next").textContent,
	queue: Number(e.querySelector(".queue").textContent),
	error: e.querySelector(".error").textContent,
})).sort((a, b) => a.y - b.y);
var wheres = () => shown().map(r => r.e.querySelector(".where").textContent);
var counted = () => Object.fromEntries([...document.querySelectorAll(".chip")].map(c =>
	[c.lastElementChild.textContent, Number(c.firstElementChild.textContent.replace(/,/g, ""))]));
`

func openPage(t *testing.T, path, url string, d device) *browser {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
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

	b := &browser{t: t, ctx: ctx, device: d}
	// Neither with a deadline: the browser that this starts ends with its context.
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	emulate := []chromedp.EmulateViewportOption{chromedp.EmulateScale(d.scale)}
	if d.mobile {
		emulate = append(emulate, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	err := chromedp.Do(ctx,
		chromedp.EmulateViewport(d.width, d.height, emulate...),
		prefer("light", "no-preference"),
		chromedp.Navigate(url),
		chromedp.Evaluate[chromedp.Void](helpers))
	if err != nil {
		t.Fatalf("opening %s in %s: %v", url, path, err)
	}
	return b
}

func (b *browser) complain(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
}

func (b *browser) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			args, _ := json.Marshal(e.Args)
			b.complain("console %s: %s", e.Type, args)
		}
	case *runtime.EventExceptionThrown:
		details, _ := json.Marshal(e.ExceptionDetails)
		b.complain("exception: %s", details)
	case *log.EventEntryAdded: // violations of the Content-Security-Policy, too
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.complain("log: %s (%s)", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			b.complain("%s: %d", e.Response.URL, e.Response.Status)
		}
	case *page.EventJavascriptDialogOpening:
		b.complain("a dialog: %s", e.Message)
	}
}

func (b *browser) noComplaints() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("the browser complains: %s", c)
	}
	b.complaints = nil
}

// prefer has somebody look who prefers light or dark, and perhaps that nothing moves.
func prefer(scheme, motion string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion}}})
		return err
	})
}

func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func (b *browser) run(expression string) {
	b.t.Helper()
	b.do(expression, chromedp.Evaluate[chromedp.Void](expression))
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
	b.waitUntil(what, func() bool { return evaluate[bool](b, expression) })
}

func (b *browser) waitUntil(what string, done func() bool) {
	b.t.Helper()
	b.waitWithin(patience, what, done)
}

func (b *browser) waitWithin(patience time.Duration, what string, done func() bool) {
	b.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-poll.C {
		if done() {
			return
		}
	}
	text := evaluate[string](b, `document.body.innerText`)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Fatalf("not within %v: %s\ncomplaints: %q\nthe page:\n%.3000s", patience, what, b.complaints, text)
}

// filter types into the filter, as a person does.
func (b *browser) filter(text string) {
	b.t.Helper()
	b.run(`id("q").value = ""; id("q").dispatchEvent(new Event("input"))`)
	b.do("filtering", chromedp.SendKeys(chromedp.ID("q"), text))
	b.waitFor("the filter is written", fmt.Sprintf(`id("q").value === %s`, chromium.Quote(text)))
}

// drawn waits for two frames: what was asked for has been drawn then.
func (b *browser) drawn() {
	b.t.Helper()
	b.run(`window.frames2 = 0; requestAnimationFrame(() => requestAnimationFrame(() => { frames2 = 2; }))`)
	b.waitFor("two frames", `frames2 === 2`)
}

// fits demands that nothing is wider than the screen. On a phone a page that is too
// wide is shown smaller, so the width itself is looked at too.
func (b *browser) fits() {
	b.t.Helper()
	type width struct {
		What           string
		Scroll, Client int64
	}
	for _, w := range evaluate[[]width](b, `[document.documentElement, ...document.querySelectorAll("body, main, main > :not(.sr), #list, #tools, #rows, dialog[open]")]
		.map(e => ({ What: e.id || e.tagName, Scroll: e.scrollWidth, Client: e.clientWidth }))`) {
		if w.Scroll > w.Client {
			b.t.Errorf("%s scrolls sideways: %d wide in %d", w.What, w.Scroll, w.Client)
		}
	}
	if n := evaluate[int](b, `[...document.querySelectorAll(".row > *")].filter(e => e.checkVisibility() &&
		e.getBoundingClientRect().right > e.parentNode.getBoundingClientRect().right).length`); n > 0 {
		b.t.Errorf("%d cells stick out of their rows", n)
	}
	if w := evaluate[int64](b, `window.innerWidth`); w != b.device.width {
		b.t.Errorf("the page is %d wide on a screen of %d", w, b.device.width)
	}
}

// picture writes a screenshot if that is asked for.
func (b *browser) picture(name string) {
	b.t.Helper()
	if *screenshots == "" {
		return
	}
	b.do("to the side", chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 0, 0))
	b.drawn()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatalf("a screenshot: %v", err)
	}
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, "inspect-"+name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
