package tui

import (
	"fmt"
	"strconv"

	tea "charm.land/bubbletea/v2"
)

// processes is how many instances of each type an app has.
type processes struct {
	listing
	app string
}

func (s *processes) args() []string { return []string{"ps", "--app", s.app} }

func (s *processes) name() string { return "Processes" }

func (s *processes) needs(*model) []query { return []query{ask(pageEvery, s.args()...)} }

func (s *processes) received(m *model, _ string) { s.take(m, s.args()) }

func (s *processes) view(m *model, w, h int) []string {
	return gridOrWords(m, &s.grid, m.get(s.args()...), w, h)
}

func (s *processes) key(m *model, key string) (tea.Cmd, bool) {
	by := map[string]int{"+": 1, "=": 1, "-": -1}[key]
	if by == 0 {
		return s.keys(m, key)
	}
	count, err := strconv.Atoi(cell(s.grid.chosen(), 1))
	if err != nil || count+by < 0 {
		return nil, true
	}
	kind := s.grid.name()
	scale := func() tea.Cmd {
		setting := fmt.Sprintf("%s=%d", kind, count+by)
		return m.act("Scaling "+s.app+": "+setting, "ps", "scale", "--app", s.app, setting)
	}
	if count+by == 0 {
		return m.confirm(fmt.Sprintf("Run no “%s” of “%s” any more?", kind, line(s.app)), scale), true
	}
	return scale(), true
}

func (s *processes) hints(*model) []hint { return []hint{{"+", "more"}, {"-", "fewer"}} }
