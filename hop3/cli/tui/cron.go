package tui

import (
	tea "charm.land/bubbletea/v2"
)

// cron is an app's cron entries.
type cron struct {
	listing
	app string
}

func (s *cron) args() []string { return []string{"cron", "list", "--app", s.app} }

func (s *cron) name() string { return "Cron" }

func (s *cron) needs(*model) []query { return []query{ask(pageEvery, s.args()...)} }

func (s *cron) received(m *model, _ string) { s.take(m, s.args()) }

func (s *cron) view(m *model, w, h int) []string {
	return gridOrWords(m, &s.grid, m.get(s.args()...), w, h)
}

func (s *cron) key(m *model, key string) (tea.Cmd, bool) {
	if cmd, ok := s.keys(m, key); ok {
		return cmd, true
	}
	entry := s.grid.name()
	if entry == "" {
		return nil, false
	}
	switch key {
	case "enter":
		return m.open(newAnswer("Runs of "+entry, "cron", "logs", "--app", s.app, entry)), true
	case "n":
		return m.confirm("Run “"+entry+"” now?", func() tea.Cmd {
			return m.act("Running "+entry, "cron", "run", "--app", s.app, entry)
		}), true
	}
	return nil, false
}

func (s *cron) hints(*model) []hint { return []hint{{"Enter", "its runs"}, {"n", "run now"}} }
