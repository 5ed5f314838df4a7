package tui

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

var backupArgs = []string{"backup", "list"}

// backups is what can be restored.
type backups struct{ listing }

func newBackups() *backups { return &backups{} }

func (s *backups) name() string { return "Backups" }

func (s *backups) needs(*model) []query {
	return []query{ask(15*time.Second, backupArgs...), ask(time.Minute, "app", "list")}
}

func (s *backups) received(m *model, _ string) { s.take(m, backupArgs) }

func (s *backups) start(m *model) tea.Cmd {
	s.received(m, "")
	return nil
}

func (s *backups) view(m *model, w, h int) []string {
	return missingOr(m, "backups", &s.grid, m.get(backupArgs...), w, h)
}

func (s *backups) key(m *model, key string) (tea.Cmd, bool) {
	if cmd, ok := s.keys(m, key); ok {
		return cmd, true
	}
	if key == "n" {
		p := m.prompt("Back up the app:", "", func(app string) tea.Cmd {
			if app = strings.TrimSpace(app); app == "" {
				return nil
			}
			return m.act("Backing up "+app, "backup", "create", "--app", app)
		})
		p.complete = func(text string) string { return strings.TrimSpace(m.completeApp(text)) }
		return nil, true
	}
	id, app := s.grid.name(), cell(s.grid.chosen(), 1)
	if id == "" {
		return nil, false
	}
	switch key {
	case "enter":
		return m.open(newAnswer(id, "backup", "show", id)), true
	case "r":
		return m.confirm("Restore “"+app+"” from "+id+"? What it has now is replaced.", func() tea.Cmd {
			return m.act("Restoring "+app, "backup", "restore", id)
		}), true
	case "d":
		return m.confirm("Destroy the backup "+id+" of “"+app+"”? It cannot be undone.", func() tea.Cmd {
			return m.act("Destroying "+id, "backup", "destroy", id)
		}), true
	}
	return nil, false
}

func (s *backups) hints(*model) []hint {
	return []hint{{"n", "new"}, {"Enter", "details"}, {"r", "restore"}, {"d", "destroy"}, {"R", "refresh"}}
}
