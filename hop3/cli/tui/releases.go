package tui

import (
	"fmt"

	tea "charm.land/bubbletea/v2"
)

// releases is an app's history, to go back in.
type releases struct {
	listing
	app string
}

func (s *releases) args() []string { return []string{"releases", "--app", s.app} }

func (s *releases) name() string { return "Releases" }

func (s *releases) needs(*model) []query { return []query{ask(pageEvery, s.args()...)} }

func (s *releases) received(m *model, _ string) {
	headers, rows, _ := m.get(s.args()...).table()
	s.grid.set(headers, briefTimes(headers, rows))
}

func (s *releases) view(m *model, w, h int) []string {
	return gridOrWords(m, &s.grid, m.get(s.args()...), w, h)
}

func (s *releases) key(m *model, key string) (tea.Cmd, bool) {
	if cmd, ok := s.keys(m, key); ok {
		return cmd, true
	}
	release := s.grid.name()
	if release == "" {
		return nil, false
	}
	switch key {
	case "u":
		return m.confirm(fmt.Sprintf("Let %s of “%s” serve again, with its code, variables and process counts?", release, line(s.app)), func() tea.Cmd {
			return m.act("Rolling "+s.app+" back to "+release, "rollback", "--app", s.app, release)
		}), true
	case "enter":
		return m.open(newAnswer(line(s.app)+" "+release, "releases", "show", "--app", s.app, release)), true
	case "L":
		return m.open(newAnswer("Log of "+release, "releases", "show", "--app", s.app, "--log", release)), true
	}
	return nil, false
}

func (s *releases) hints(*model) []hint {
	return []hint{{"Enter", "details"}, {"u", "roll back to it"}, {"L", "its log"}, {"/", "filter"}}
}
