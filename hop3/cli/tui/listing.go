package tui

import tea "charm.land/bubbletea/v2"

// listing is what the screens share that show the table of one command.
type listing struct{ grid grid }

func (l *listing) take(m *model, args []string) {
	headers, rows, _ := m.get(args...).table()
	l.grid.set(headers, rows)
}

// keys are those of every table: to move, to filter and to sort.
func (l *listing) keys(m *model, key string) (tea.Cmd, bool) {
	switch {
	case l.grid.key(key):
		return nil, true
	case key == "/":
		return m.filter(&l.grid), true
	}
	return nil, false
}

func (l *listing) click(m *model, x, y int) tea.Cmd {
	l.grid.click(x, y, m.w)
	return nil
}

func (l *listing) wheel(_ *model, by int) tea.Cmd {
	l.grid.move(by)
	return nil
}

// missingOr is gridOrWords for what a server may not have at all.
func missingOr(m *model, what string, g *grid, a *answer, w, h int) []string {
	lines := gridOrWords(m, g, a, w, h)
	if a != nil && notThere(a.err) {
		lines = append([]string{" This server has no " + what + " yet. It says:", ""}, lines...)
	}
	return lines
}
