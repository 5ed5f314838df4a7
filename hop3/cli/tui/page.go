package tui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

const pageEvery = 5 * time.Second

// appPage is one app: a row of tabs, each a screen of its own.
type appPage struct {
	app  string
	tabs []screen
	tab  int
}

func newAppPage(app string) *appPage {
	return &appPage{app: app, tabs: []screen{
		&overview{app: app}, &processes{app: app}, &releases{app: app}, &env{app: app}, &domains{app: app}, newLogs(app), &cron{app: app},
	}}
}

// at chooses a tab by its name.
func (s *appPage) at(name string) *appPage {
	for i, t := range s.tabs {
		if t.name() == name {
			s.tab = i
		}
	}
	return s
}

func (s *appPage) name() string { return line(s.app) }

func (s *appPage) needs(m *model) []query {
	return append([]query{ask(pageEvery, "app", "status", "--app", s.app)}, s.tabs[s.tab].needs(m)...)
}

func (s *appPage) received(m *model, key string) {
	if t, ok := s.tabs[s.tab].(receiver); ok {
		t.received(m, key)
	}
}

func (s *appPage) start(m *model) tea.Cmd {
	s.received(m, "")
	if t, ok := s.tabs[s.tab].(starter); ok {
		return t.start(m)
	}
	return nil
}

func (s *appPage) leave(m *model) {
	if t, ok := s.tabs[s.tab].(leaver); ok {
		t.leave(m)
	}
}

// turn goes to another tab.
func (s *appPage) turn(m *model, to int) tea.Cmd {
	s.leave(m)
	s.tab = (to + len(s.tabs)) % len(s.tabs)
	return m.opened()
}

// state is the app's, as `app status` says it; "" when it has not said yet.
func (s *appPage) state(m *model) string {
	_, rows, _ := m.get("app", "status", "--app", s.app).table()
	for _, row := range rows {
		if cell(row, 0) == "Status" {
			return cell(row, 1)
		}
	}
	return ""
}

func (s *appPage) view(m *model, w, h int) []string {
	var b strings.Builder
	for i, t := range s.tabs {
		label := fmt.Sprintf(" %d %s ", i+1, t.name())
		if i == s.tab {
			label = m.theme.tabOn.Render(label)
		}
		b.WriteString(label)
	}
	state := s.state(m)
	if style, ok := m.theme.state(state); ok {
		state = style.Render(state)
	}
	head := fit(b.String(), w-ansi.StringWidth(state)-1) + state
	return append([]string{head, ""}, s.tabs[s.tab].view(m, w, h-2)...)
}

func (s *appPage) key(m *model, key string) (tea.Cmd, bool) {
	if cmd, ok := s.tabs[s.tab].key(m, key); ok {
		return cmd, true
	}
	switch key {
	case "tab", "right":
		return s.turn(m, s.tab+1), true
	case "shift+tab", "left":
		return s.turn(m, s.tab-1), true
	case "l":
		return s.turnTo(m, "Logs"), true
	case "e":
		return s.turnTo(m, "Env"), true
	case "v":
		return m.open(newEvents(s.app)), true
	case "s":
		if state := s.state(m); state == "STOPPED" || state == "CRASHED" || state == "FAILED" {
			return m.startApp(s.app), true
		}
		return m.stopApp(s.app), true
	case "r":
		return m.restartApp(s.app), true
	case "X":
		return m.confirm(fmt.Sprintf("Cancel the deploy of “%s” that is under way? What serves now serves on.", s.name()), func() tea.Cmd {
			return m.act("Canceling the deploy of "+s.app, "deploy", "cancel", "--app", s.app)
		}), true
	case "D":
		return m.destroyApp(s.app), true
	case "R":
		return m.refresh(), true
	}
	if n := int(key[0] - '1'); len(key) == 1 && n >= 0 && n < len(s.tabs) {
		return s.turn(m, n), true
	}
	return nil, false
}

func (s *appPage) turnTo(m *model, name string) tea.Cmd {
	for i, t := range s.tabs {
		if t.name() == name {
			return s.turn(m, i)
		}
	}
	return nil
}

func (s *appPage) click(m *model, x, y int) tea.Cmd {
	if y > 0 {
		return s.tabs[s.tab].click(m, x, y-2)
	}
	at := 0
	for i, t := range s.tabs {
		if at += len(t.name()) + 4; x < at {
			return s.turn(m, i)
		}
	}
	return nil
}

func (s *appPage) wheel(m *model, by int) tea.Cmd { return s.tabs[s.tab].wheel(m, by) }

func (s *appPage) hints(m *model) []hint {
	return append(s.tabs[s.tab].hints(m), hint{"Tab", "next"}, hint{"s", "stop/start"}, hint{"r", "restart"}, hint{"X", "cancel deploy"}, hint{"D", "destroy"}, hint{"v", "events"})
}

// overview is what `app status` says.
type overview struct {
	app    string
	scroll int
}

func (s *overview) name() string { return "Overview" }

func (s *overview) needs(*model) []query {
	return []query{ask(15*time.Second, "releases", "--app", s.app)}
}

func (s *overview) view(m *model, w, h int) []string {
	lines := properties(m, m.get("app", "status", "--app", s.app), w)
	if headers, rows, ok := m.get("releases", "--app", s.app).table(); ok {
		recent := grid{}
		recent.set(headers, briefTimes(headers, rows[:min(5, len(rows))]))
		lines = append(append(lines, "", m.theme.header.Render(" Recent releases")), unchosen(m, &recent, w, len(recent.rows)+1)...)
	}
	s.scroll = max(0, min(s.scroll, len(lines)-h))
	return lines[s.scroll:]
}

// unchosen draws a table without a chosen row.
func unchosen(m *model, g *grid, w, h int) []string {
	widths := g.widths(w)
	lines := []string{m.theme.dim.Render(fit(g.head(widths), w))}
	for i, row := range g.shown {
		if i+1 >= h {
			break
		}
		lines = append(lines, g.row(m.theme, row, widths, w, false))
	}
	return lines
}

// properties draws a table of names and values, long ones wrapped.
func properties(m *model, a *answer, w int) []string {
	_, rows, ok := a.table()
	if !ok || a.err != nil {
		return gridOrWords(m, &grid{}, a, w, 0)
	}
	names := 0
	for _, row := range rows {
		names = max(names, ansi.StringWidth(cell(row, 0)))
	}
	names = min(names, w/3)
	var lines []string
	for _, row := range rows {
		style := m.theme.row
		switch cell(row, 0) {
		case "Error":
			style = m.theme.bad
		case "Warning", "Note":
			style = m.theme.warn
		}
		if state, ok := m.theme.state(cell(row, 1)); ok {
			style = state
		}
		for i, part := range wrapped(cell(row, 1), w-names-4) {
			label := ""
			if i == 0 {
				label = cell(row, 0)
			}
			lines = append(lines, " "+m.theme.dim.Render(fit(label, names))+"  "+style.Render(part))
		}
	}
	return lines
}

func (s *overview) key(m *model, key string) (tea.Cmd, bool) {
	switch key {
	case "up", "k":
		s.scroll--
	case "down", "j":
		s.scroll++
	case "enter":
	default:
		return nil, false
	}
	return nil, true
}

func (s *overview) click(*model, int, int) tea.Cmd { return nil }

func (s *overview) wheel(_ *model, by int) tea.Cmd {
	s.scroll += by
	return nil
}

func (s *overview) hints(*model) []hint { return nil }
