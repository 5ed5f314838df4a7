package tui

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// system is the server: what it says of itself, and what is built in.
type system struct{ listing }

func newSystem() *system { return &system{} }

func (s *system) name() string { return "System" }

func (s *system) needs(*model) []query {
	return []query{ask(30*time.Second, "system", "info"), ask(time.Minute, "plugin", "list")}
}

func (s *system) received(m *model, _ string) { s.take(m, []string{"plugin", "list"}) }

func (s *system) start(m *model) tea.Cmd {
	s.received(m, "")
	return nil
}

func (s *system) info(m *model, w int) []string {
	a := m.get("system", "info")
	if a == nil {
		return nil
	}
	return append(gridOrWords(m, &grid{}, a, w, 0), "")
}

func (s *system) view(m *model, w, h int) []string {
	lines := s.info(m, w)
	return append(lines, gridOrWords(m, &s.grid, m.get("plugin", "list"), w, h-len(lines))...)
}

func (s *system) key(m *model, key string) (tea.Cmd, bool) {
	if cmd, ok := s.keys(m, key); ok {
		return cmd, true
	}
	switch key {
	case "l":
		return m.open(newAnswer("System logs", "system", "logs", "--lines", "200")), true
	case "p":
		p := m.prompt("Processes of the app:", "", func(app string) tea.Cmd {
			if app = strings.TrimSpace(app); app == "" {
				return nil
			}
			return m.open(newAppPage(app).at("Processes"))
		})
		p.complete = func(text string) string { return strings.TrimSpace(m.completeApp(text)) }
		return nil, true
	}
	return nil, false
}

// completeApp continues an app's name as far as only one is meant.
func (m *model) completeApp(text string) string {
	return strings.TrimPrefix(m.complete("--app "+text), "--app ")
}

func (s *system) click(m *model, x, y int) tea.Cmd {
	return s.listing.click(m, x, y-len(s.info(m, m.w)))
}

func (s *system) hints(*model) []hint {
	return []hint{{"l", "system logs"}, {"p", "processes of an app"}, {"/", "filter"}}
}
