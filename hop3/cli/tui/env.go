package tui

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// env is an app's variables. The server hides secrets until they are asked
// for, and they are forgotten when the tab is left.
type env struct {
	listing
	app      string
	revealed bool
}

func (s *env) args() []string {
	args := []string{"env", "show", "--app", s.app}
	if s.revealed {
		args = append(args, "--show-secrets")
	}
	return args
}

func (s *env) name() string { return "Env" }

func (s *env) needs(*model) []query { return []query{ask(30*time.Second, s.args()...)} }

func (s *env) received(m *model, _ string) { s.take(m, s.args()) }

func (s *env) view(m *model, w, h int) []string {
	a := m.get(s.args()...)
	if s.revealed && a != nil && h > 2 {
		return append(gridOrWords(m, &s.grid, a, w, h-1), m.theme.warn.Render(" Secrets are shown; t hides them."))
	}
	return gridOrWords(m, &s.grid, a, w, h)
}

// reveal shows the secrets, or hides and forgets them.
func (s *env) reveal(m *model, show bool) tea.Cmd {
	if !show {
		s.revealed = true
		m.forget(s.args()...)
	}
	s.revealed = show
	s.received(m, "")
	return m.poll()
}

func (s *env) leave(m *model) {
	s.reveal(m, false)
}

func (s *env) key(m *model, key string) (tea.Cmd, bool) {
	if cmd, ok := s.keys(m, key); ok {
		return cmd, true
	}
	name := s.grid.name()
	switch key {
	case "t":
		return s.reveal(m, !s.revealed), true
	case "a":
		m.prompt("KEY=VALUE:", "", s.set(m))
		return nil, true
	}
	if name == "" {
		return nil, false
	}
	switch key {
	case "e", "enter":
		value := ""
		if s.revealed {
			value = s.value(m, name)
		}
		if strings.Contains(value, "\n") {
			m.fail(name + " has several lines: change it with `hop3 env set`.")
			return nil, true
		}
		set := s.set(m)
		m.prompt(name+" =", value, func(text string) tea.Cmd { return set(name + "=" + text) })
		return nil, true
	case "d":
		return m.confirm("Remove the variable “"+name+"” and restart “"+line(s.app)+"” without it?", func() tea.Cmd {
			return m.act("Removing "+name, "env", "unset", "--app", s.app, name)
		}), true
	}
	return nil, false
}

// value is a variable's as it came, to be edited.
func (s *env) value(m *model, name string) string {
	a := m.get(s.args()...)
	if a == nil {
		return ""
	}
	for _, item := range a.items {
		for _, row := range item.Rows {
			if len(row) < 2 || row[0] != name {
				continue
			}
			value, _ := row[1].(string)
			return value
		}
	}
	return ""
}

func (s *env) set(m *model) func(string) tea.Cmd {
	return func(setting string) tea.Cmd {
		name, _, ok := strings.Cut(setting, "=")
		if !ok {
			m.fail("Write KEY=VALUE. Nothing was changed.")
			return nil
		}
		return m.act("Setting "+name, "env", "set", "--app", s.app, setting)
	}
}

func (s *env) hints(*model) []hint {
	return []hint{{"t", "reveal"}, {"a", "add"}, {"e", "edit"}, {"d", "delete"}, {"/", "filter"}}
}
