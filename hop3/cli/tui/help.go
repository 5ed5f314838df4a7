package tui

import (
	tea "charm.land/bubbletea/v2"
)

// help is the keys: of the screen it was called on, and of all.
type help struct {
	text
	of   string
	keys []hint
}

func newHelp(of string, hints []hint) *help { return &help{of: of, keys: hints} }

func (s *help) name() string { return "Help" }

func (s *help) needs(*model) []query { return nil }

// everywhere are the keys that each screen has.
var everywhere = []hint{
	{"d a s v o b", "Dashboard, Apps, System, Events, Addons, Backups (where the screen has no other use for the key)"},
	{": or c", "a command, as behind hop3; Tab completes"},
	{"x", "another server"},
	{"r or R", "ask again now"},
	{"↑ ↓ PgUp PgDn g G", "move; the mouse works too"},
	{"Esc", "back"},
	{"?", "this page"},
	{"q, Ctrl-C", "leave"},
}

func (s *help) view(m *model, w, h int) []string {
	lines := []string{m.theme.header.Render(" " + s.of)}
	add := func(hints []hint) {
		for _, k := range hints {
			for i, part := range wrapped(k.does, w-22) {
				key := ""
				if i == 0 {
					key = k.key
				}
				lines = append(lines, "  "+m.theme.key.Render(fit(key, 18))+" "+part)
			}
		}
	}
	add(s.keys)
	lines = append(lines, "", m.theme.header.Render(" Everywhere"))
	add(everywhere)
	return s.cut(lines, h)
}

func (s *help) key(m *model, key string) (tea.Cmd, bool) {
	if key == "?" {
		return m.back(), true
	}
	return nil, s.text.key(key)
}

func (s *help) click(*model, int, int) tea.Cmd { return nil }

func (s *help) wheel(_ *model, by int) tea.Cmd {
	s.scroll += by
	return nil
}

func (s *help) hints(*model) []hint { return []hint{{"Esc", "back"}} }
