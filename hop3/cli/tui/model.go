package tui

import (
	"context"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// screen fills the window between the header and the footer.
type screen interface {
	// name is the word for it in the header.
	name() string
	// needs are the queries whose answers it shows.
	needs(m *model) []query
	// view draws it in w columns and h lines.
	view(m *model, w, h int) []string
	// key acts on a key, and reports whether it is one of the screen's.
	key(m *model, key string) (tea.Cmd, bool)
	// click acts on a click, in columns and lines of the screen.
	click(m *model, x, y int) tea.Cmd
	// wheel scrolls by so many lines.
	wheel(m *model, by int) tea.Cmd
	// hints are the keys for the footer and the help.
	hints(m *model) []hint
}

// hint is a key and what it does.
type hint struct{ key, does string }

// model is the state of the whole window.
type model struct {
	ctx     context.Context
	options Options
	now     func() time.Time
	tick    func() tea.Cmd

	server int // of options.Servers
	epoch  int // counts the connects, so that late answers are known
	client Caller
	conn   connection
	denied bool // the token is not good

	w, h    int
	theme   theme
	stack   []screen // the last one is seen
	answers map[string]*answer
	asking  *prompt // has the keyboard while it is open

	said    string // the last outcome, clean
	saidBad bool
	busy    int // actions under way

	words    []string // the server's commands, for completion
	history  []string // of the command line
	quitting bool
}

func newModel(ctx context.Context, o Options) *model {
	m := &model{ctx: ctx, options: o, now: time.Now, tick: every, theme: newTheme(true), w: 80, h: 24}
	m.stack = []screen{newDashboard()}
	if o.App != "" {
		m.stack = append(m.stack, newAppPage(o.App))
	}
	return m
}

// connect makes another server the one that is shown.
func (m *model) connect(i int) error {
	c, err := m.options.Servers[i].Dial()
	if err != nil {
		return err
	}
	m.server, m.client = i, c
	m.epoch++
	m.answers, m.words = map[string]*answer{}, nil
	m.conn, m.denied, m.busy = connection{}, false, 0
	return nil
}

func (m *model) screen() screen { return m.stack[len(m.stack)-1] }

// Init is called once by Bubble Tea.
func (m *model) Init() tea.Cmd {
	return tea.Batch(tea.RequestBackgroundColor, m.tick(), m.opened(), m.learnWords())
}

// open puts a screen over the one that is seen.
func (m *model) open(s screen) tea.Cmd {
	m.leave()
	m.stack = append(m.stack, s)
	return m.opened()
}

// opened asks what the screen needs at once.
func (m *model) opened() tea.Cmd {
	m.said = ""
	if s, ok := m.screen().(starter); ok {
		return tea.Batch(s.start(m), m.poll())
	}
	return m.poll()
}

// starter is a screen with something to begin when it is opened.
type starter interface{ start(m *model) tea.Cmd }

// leaver is a screen with something to end when it is left.
type leaver interface{ leave(m *model) }

func (m *model) leave() {
	if s, ok := m.screen().(leaver); ok {
		s.leave(m)
	}
}

// back closes the screen that is seen.
func (m *model) back() tea.Cmd {
	m.leave()
	if len(m.stack) > 1 {
		m.stack = m.stack[:len(m.stack)-1]
	} else if _, home := m.screen().(*dashboard); !home {
		m.stack = []screen{newDashboard()}
	}
	return m.opened()
}

// show replaces all screens by one of the header's.
func (m *model) show(s screen) tea.Cmd {
	m.leave()
	m.stack = []screen{s}
	return m.opened()
}

// place is a screen of the header.
type place struct {
	key, name string
	open      func() screen
}

func places() []place {
	return []place{
		{"d", "Dashboard", func() screen { return newDashboard() }},
		{"a", "Apps", func() screen { return newApps() }},
		{"s", "System", func() screen { return newSystem() }},
		{"v", "Events", func() screen { return newEvents("") }},
		{"o", "Addons", func() screen { return newAddons() }},
		{"b", "Backups", func() screen { return newBackups() }},
	}
}

func (m *model) say(text string)  { m.said, m.saidBad = line(text), false }
func (m *model) fail(text string) { m.said, m.saidBad = line(text), true }

// Update acts on one message.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) { return m, m.update(msg) }

func (m *model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.theme = newTheme(msg.IsDark())
	case tick:
		return tea.Batch(m.tick(), m.poll(), m.learnWords())
	case answered:
		return m.take(msg)
	case acted:
		return m.ended(msg)
	case learned:
		m.learn(msg)
	case logMsg:
		return m.logged(msg)
	case logAgain:
		return m.logAgain(msg)
	case outputMsg:
		return m.printed(msg)
	case tea.KeyPressMsg:
		return m.key(msg)
	case tea.PasteMsg:
		if m.asking != nil {
			m.asking.paste(msg.Content)
		}
	case tea.MouseClickMsg:
		if msg.Button == tea.MouseLeft {
			return m.click(msg.X, msg.Y)
		}
	case tea.MouseWheelMsg:
		if m.asking != nil {
			return nil
		}
		switch msg.Button {
		case tea.MouseWheelUp:
			return m.screen().wheel(m, -3)
		case tea.MouseWheelDown:
			return m.screen().wheel(m, 3)
		}
	}
	return nil
}

func (m *model) key(msg tea.KeyPressMsg) tea.Cmd {
	key := msg.String()
	if key == "ctrl+c" {
		m.quitting = true
		return tea.Quit
	}
	if m.asking != nil {
		return m.asking.key(m, msg)
	}
	if cmd, ok := m.screen().key(m, key); ok {
		return cmd
	}
	switch key {
	case "q":
		m.quitting = true
		return tea.Quit
	case "esc":
		return m.back()
	case "R", "r", "ctrl+l":
		return m.refresh()
	case "?":
		return m.open(newHelp(m.screen().name(), m.screen().hints(m)))
	case ":", "c":
		return m.commandLine()
	case "x":
		return m.open(newContexts())
	}
	for _, p := range places() {
		if p.key == key {
			return m.show(p.open())
		}
	}
	return nil
}

// refresh asks everything again, also a server that did not answer.
func (m *model) refresh() tea.Cmd {
	m.hurry()
	m.conn.retry = time.Time{}
	return m.poll()
}

func (m *model) click(x, y int) tea.Cmd {
	if m.asking != nil {
		return nil
	}
	if y == 0 {
		at := len(brand)
		for _, p := range places() {
			if w := len(p.name) + 2; x >= at && x < at+w {
				return m.show(p.open())
			} else {
				at += w
			}
		}
		return nil
	}
	if y -= m.top(); y >= 0 && y < m.h-m.top()-footer {
		return m.screen().click(m, x, y)
	}
	return nil
}

const (
	brand  = " Hop3 "
	footer = 2
	minW   = 40
	minH   = 10
)

// top is the line at which the screen begins.
func (m *model) top() int {
	if m.banner() != "" {
		return 3
	}
	return 2
}

// View draws the window.
func (m *model) View() tea.View {
	v := tea.NewView("")
	v.AltScreen, v.MouseMode = true, tea.MouseModeCellMotion
	v.WindowTitle = "hop3"
	if !m.quitting {
		v.SetContent(m.window())
	}
	return v
}

func (m *model) window() string {
	if m.w < minW || m.h < minH {
		return fit(fmt.Sprintf("Make the window larger than %d×%d.", m.w, m.h), m.w)
	}
	lines := []string{m.header()}
	if b := m.banner(); b != "" {
		lines = append(lines, m.theme.banner.Render(fit(" "+b, m.w)))
	}
	lines = append(lines, m.place())
	h := m.h - len(lines) - footer
	if m.asking != nil && m.asking.text != "" {
		lines = append(lines, m.asking.box(m, m.w, h)...)
	} else {
		lines = append(lines, block(m.screen().view(m, m.w, h), m.w, h)...)
	}
	return strings.Join(append(lines, m.status(), m.keys()), "\n")
}

func (m *model) header() string {
	var b strings.Builder
	b.WriteString(m.theme.title.Render(brand))
	n := len(brand)
	for _, p := range places() {
		style := m.theme.tab
		if len(m.stack) > 0 && m.stack[0].name() == p.name {
			style = m.theme.tabOn
		}
		b.WriteString(style.Render(" " + p.name + " "))
		n += len(p.name) + 2
	}
	server := line(m.options.Servers[m.server].Name)
	room := m.w - n - 2
	if ansi.StringWidth(server) > room {
		server = ansi.Truncate(server, max(0, room), "…")
	}
	b.WriteString(strings.Repeat(" ", max(1, m.w-n-ansi.StringWidth(server)-1)) + m.theme.dim.Render(server) + " ")
	return fit(b.String(), m.w)
}

// place is the line that says where one is, and how old what is seen is.
func (m *model) place() string {
	var names []string
	for _, s := range m.stack {
		names = append(names, s.name())
	}
	left := " " + strings.Join(names, " › ")
	right := ""
	age, complete := m.age()
	switch {
	case m.conn.err != nil && age > 0:
		right = m.theme.warn.Render("stale, " + span(age) + " old")
	case m.waiting() > slow && age > 0:
		right = m.theme.warn.Render("the server is slow: " + span(age) + " old")
	case !complete && m.conn.err == nil && !m.denied:
		right = m.theme.dim.Render("loading…")
	}
	return fit(fit(m.theme.header.Render(left), m.w-ansi.StringWidth(right)-1)+right, m.w)
}

// banner is what is wrong with the connection, "" for nothing.
func (m *model) banner() string {
	switch {
	case m.conn.err != nil:
		wait := max(0, m.conn.retry.Sub(m.now()))
		again := "trying again now"
		if wait > 0 {
			again = "trying again in " + span(wait+time.Second-1)
		}
		return "Disconnected, " + again + ": " + line(reason(m.conn.err))
	case m.denied:
		return "The server does not know you: leave with q, then `hop3 login`."
	}
	return ""
}

func (m *model) status() string {
	if m.asking != nil {
		return m.asking.line(m)
	}
	if m.said == "" {
		return strings.Repeat(" ", m.w)
	}
	style := m.theme.good
	if m.saidBad {
		style = m.theme.bad
	} else if m.busy > 0 {
		style = m.theme.warn
	}
	return style.Render(fit(" "+m.said, m.w))
}

func (m *model) keys() string {
	hints := m.screen().hints(m)
	if m.asking != nil {
		hints = m.asking.hints()
	} else {
		hints = append(hints[:len(hints):len(hints)], hint{":", "command"}, hint{"?", "help"}, hint{"q", "quit"})
	}
	var parts []string
	for _, h := range hints {
		parts = append(parts, m.theme.key.Render(h.key)+" "+m.theme.dim.Render(h.does))
	}
	// The last ones are everywhere: what does not fit goes before them.
	for ansi.StringWidth(strings.Join(parts, "  ")) > m.w-2 && len(parts) > 3 {
		parts = append(parts[:len(parts)-4], parts[len(parts)-3:]...)
	}
	return fit(" "+strings.Join(parts, "  "), m.w)
}
