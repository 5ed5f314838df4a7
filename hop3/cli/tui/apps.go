package tui

import (
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"
)

const appsEvery = 5 * time.Second

// apps is the list of all apps.
type apps struct{ grid grid }

func newApps() *apps { return &apps{} }

func (s *apps) name() string { return "Apps" }

func (s *apps) needs(*model) []query { return []query{ask(appsEvery, "app", "list")} }

func (s *apps) received(m *model, _ string) {
	headers, rows, _ := m.get("app", "list").table()
	s.grid.set(headers, rows)
}

func (s *apps) start(m *model) tea.Cmd {
	s.received(m, "")
	return nil
}

func (s *apps) view(m *model, w, h int) []string {
	return gridOrWords(m, &s.grid, m.get("app", "list"), w, h)
}

// gridOrWords draws a table, or what the server said in its place.
func gridOrWords(m *model, g *grid, a *answer, w, h int) []string {
	switch {
	case a == nil:
		return nil
	case len(g.headers) > 0 && a.err == nil:
		return g.view(m.theme, w, h)
	}
	text := a.words()
	lines := wrapped(text, w-2)
	for i := range lines {
		lines[i] = " " + lines[i]
		if a.err != nil {
			lines[i] = m.theme.warn.Render(lines[i])
		}
	}
	return lines
}

func (s *apps) key(m *model, key string) (tea.Cmd, bool) {
	if s.grid.key(key) {
		return nil, true
	}
	app := s.grid.name()
	switch key {
	case "/":
		return m.filter(&s.grid), true
	case "t":
		s.grid.sortNext()
		return nil, true
	case "n":
		return m.newApp(), true
	case "R":
		return m.refresh(), true
	}
	if app == "" {
		return nil, false
	}
	switch key {
	case "enter":
		return m.open(newAppPage(app)), true
	case "l":
		return m.open(newAppPage(app).at("Logs")), true
	case "e":
		return m.open(newAppPage(app).at("Env")), true
	case "s":
		return m.startApp(app), true
	case "r":
		return m.restartApp(app), true
	case "S":
		return m.stopApp(app), true
	case "D":
		return m.destroyApp(app), true
	}
	return nil, false
}

func (s *apps) click(m *model, x, y int) tea.Cmd {
	if s.grid.click(x, y, m.w) {
		return m.open(newAppPage(s.grid.name()))
	}
	return nil
}

func (s *apps) wheel(_ *model, by int) tea.Cmd {
	s.grid.move(by)
	return nil
}

func (s *apps) hints(*model) []hint {
	return []hint{{"Enter", "open"}, {"s", "start"}, {"S", "stop"}, {"r", "restart"}, {"/", "filter"}, {"t", "sort"}, {"l", "logs"}, {"e", "env"}, {"n", "new"}, {"D", "destroy"}, {"R", "refresh"}}
}

// The verbs of an app. What stops visitors from being served asks first.

func (m *model) startApp(app string) tea.Cmd {
	return m.act("Starting "+app, "app", "start", "--app", app)
}

func (m *model) stopApp(app string) tea.Cmd {
	return m.confirm(fmt.Sprintf("Stop “%s”? Its visitors are not served until it is started again.", line(app)), func() tea.Cmd {
		return m.act("Stopping "+app, "app", "stop", "--app", app)
	})
}

func (m *model) restartApp(app string) tea.Cmd {
	return m.confirm(fmt.Sprintf("Restart “%s”? New processes start beside the old ones; no request is dropped.", line(app)), func() tea.Cmd {
		return m.act("Restarting "+app, "app", "restart", "--app", app)
	})
}

func (m *model) destroyApp(app string) tea.Cmd {
	return m.confirmTyped(fmt.Sprintf("This destroys “%s” with its releases, variables, data and logs. It cannot be undone.", line(app)), app, func() tea.Cmd {
		return m.act("Destroying "+app, "app", "destroy", "--app", app)
	})
}

// newApp asks for a repository; the deploy of it is followed.
func (m *model) newApp() tea.Cmd {
	m.prompt("New app from the repository (URL):", "", func(address string) tea.Cmd {
		if address == "" {
			return nil
		}
		m.prompt("Name (empty: that of the repository):", "", func(name string) tea.Cmd {
			words := []string{"app", "create", address}
			if name != "" {
				words = []string{"app", "create", name, address}
			}
			return m.typed(words)
		})
		return nil
	})
	return nil
}
