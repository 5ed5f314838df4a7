package tui

import (
	tea "charm.land/bubbletea/v2"
)

// contexts is the servers that one can switch to.
type contexts struct{ listing }

func newContexts() *contexts { return &contexts{} }

func (s *contexts) name() string { return "Servers" }

func (s *contexts) needs(*model) []query { return nil }

func (s *contexts) start(m *model) tea.Cmd {
	var rows [][]string
	for i, server := range m.options.Servers {
		shown := ""
		if i == m.server {
			shown = "shown"
		}
		rows = append(rows, []string{line(server.Name), shown})
	}
	s.grid.set([]string{"Server", ""}, rows)
	s.grid.cursor = m.server
	return nil
}

func (s *contexts) view(m *model, w, h int) []string { return s.grid.view(m.theme, w, h) }

func (s *contexts) key(m *model, key string) (tea.Cmd, bool) {
	if key == "enter" {
		return s.use(m), true
	}
	return nil, s.grid.key(key)
}

// use shows the chosen server from its dashboard on.
func (s *contexts) use(m *model) tea.Cmd {
	m.leave()
	if err := m.connect(s.grid.cursor); err != nil {
		m.fail(err.Error())
		return nil
	}
	m.stack = []screen{newDashboard()}
	return tea.Batch(m.opened(), m.learnWords())
}

func (s *contexts) click(m *model, x, y int) tea.Cmd {
	if s.grid.click(x, y, m.w) {
		return s.use(m)
	}
	return nil
}

func (s *contexts) hints(*model) []hint { return []hint{{"Enter", "switch"}, {"Esc", "back"}} }
