package console

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/wechatws/wechatws"
)

// refresh is the interval at which the status line is redrawn when nothing happens.
const refresh = 200 * time.Millisecond

// A model is the full-screen view of a session. No other goroutine sends it messages: it
// fetches entries from the feed with a command that ends with ctx.
type model struct {
	ctx        context.Context
	s          *session
	status     status
	transcript transcript
	input      textinput.Model
	history    history
	width      int
}

func newModel(ctx context.Context, s *session) *model {
	input := textinput.New()
	input.Placeholder = "a comment, {JSON} or /help"
	styles := textinput.DefaultDarkStyles()
	styles.Focused.Prompt, styles.Focused.Text, styles.Focused.Placeholder = regular, regular, dim
	styles.Cursor.Blink = false
	input.SetStyles(styles)
	input.Focus()
	m := &model{ctx: ctx, s: s, status: s.status(), input: input}
	m.resize(80, 24)
	return m
}

// entriesMsg has the entries from the feed, possibly none.
type entriesMsg []entry

// next waits for entries, or until the status line must be redrawn.
func (m *model) next() tea.Msg {
	timer := time.NewTimer(refresh)
	defer timer.Stop()
	select {
	case <-m.s.feed.ready:
	case <-timer.C:
	case <-m.ctx.Done():
		return tea.QuitMsg{}
	}
	return entriesMsg(m.s.feed.take())
}

func (m *model) Init() tea.Cmd { return m.next }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m.status = m.s.status()
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.resize(msg.Width, msg.Height)
		return m, nil
	case entriesMsg:
		if len(msg) > 0 {
			m.transcript.add(msg)
		}
		return m, m.next
	case tea.KeyPressMsg:
		if cmd, done := m.key(msg.String()); done {
			return m, cmd
		}
	}
	var cmd tea.Cmd
	m.input, cmd = m.input.Update(msg)
	return m, cmd
}

// key handles the keys that are not the input line's own.
func (m *model) key(key string) (cmd tea.Cmd, done bool) {
	switch key {
	case "ctrl+c":
		return tea.Quit, true
	case "enter":
		return m.enter(), true
	case "up":
		m.recall(m.history.older(m.input.Value()))
	case "down":
		m.recall(m.history.newer(m.input.Value()))
	case "pgup":
		m.transcript.pageUp()
	case "pgdown":
		m.transcript.pageDown()
	default:
		return nil, false
	}
	return nil, true
}

func (m *model) recall(line string) {
	m.input.SetValue(line)
	m.input.CursorEnd()
}

func (m *model) enter() tea.Cmd {
	line := m.input.Value()
	m.input.Reset()
	m.history.add(line)
	m.transcript.end() // so that the answer is visible
	a, err := parse(line)
	switch {
	case err != nil:
		m.s.fail(err)
	case a.verb == quit:
		return tea.Quit
	case a.verb == connect, a.verb == disconnect: // these block
		return func() tea.Msg { m.s.do(a); return nil }
	default:
		m.s.do(a)
	}
	return nil
}

func (m *model) resize(width, height int) {
	m.width = max(width, 1)
	m.transcript.resize(m.width, max(height-2, 1)) // the status and the input have a row each
	m.input.SetWidth(max(m.width-len(m.input.Prompt)-1, 1))
}

func (m *model) View() tea.View {
	view := tea.NewView(m.transcript.view() + "\n" + m.statusLine() + "\n" + ansi.Truncate(m.input.View(), m.width, ""))
	view.AltScreen = true
	return view
}

var stateColors = map[wechatws.State]lipgloss.Style{
	wechatws.StateOpen:   regular.Reverse(true).Foreground(lipgloss.Green),
	wechatws.StateClosed: regular.Reverse(true).Foreground(lipgloss.Red),
	wechatws.StateFailed: regular.Reverse(true).Foreground(lipgloss.Red),
}

// statusLine returns the status, the most important first, in the long form if it fits.
func (m *model) statusLine() string {
	style, known := stateColors[m.status.State]
	if !known {
		style = regular.Reverse(true).Foreground(lipgloss.Yellow)
	}
	line := " " + m.statusText(true)
	if ansi.StringWidth(line) > m.width {
		line = " " + m.statusText(false)
	}
	line = ansi.Truncate(line, m.width, "…")
	return style.Render(line + strings.Repeat(" ", m.width-ansi.StringWidth(line)))
}

func (m *model) statusText(long bool) string {
	s := m.status
	state := s.State.String()
	if s.State == wechatws.StateWaiting {
		wait := max(time.Until(s.retryAt), 0).Seconds()
		if long {
			state = fmt.Sprintf("waiting, next try in %.1fs", wait)
		} else {
			state = fmt.Sprintf("waiting %.1fs", wait)
		}
	}
	rtt := roundTrip(s.RTT)
	parts := []string{state}
	if n := m.transcript.unseen; n > 0 {
		parts = append(parts, fmt.Sprintf("PgDn: %d new", n))
	}
	if long {
		parts = append(parts, fmt.Sprintf("attempt %d", s.Attempt), "rtt "+rtt,
			fmt.Sprintf("queue %d", s.Queued), fmt.Sprintf("opened %d", s.Opens))
	} else {
		parts = append(parts, fmt.Sprintf("#%d", s.Attempt), rtt,
			fmt.Sprintf("q%d", s.Queued), fmt.Sprintf("o%d", s.Opens))
	}
	return strings.Join(parts, " · ")
}

// runScreen shows the session on the whole screen until the user or ctx ends it,
// then closes the client.
func runScreen(ctx context.Context, s *session, out io.Writer, options ...tea.ProgramOption) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.do(action{verb: connect})
	options = append(options, tea.WithOutput(out), tea.WithoutSignalHandler()) // signals end ctx
	_, err := tea.NewProgram(newModel(ctx, s), options...).Run()
	cancel()

	s.feed.take() // print only the entries of closing
	s.shutdown()
	if printErr := printEntries(out, s.feed.take()); err == nil {
		err = printErr
	}
	return err
}
