package tui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// domains is an app's host names with their certificates.
type domains struct {
	listing
	app string
}

func (s *domains) name() string { return "Domains" }

func (s *domains) needs(*model) []query {
	return []query{ask(10*time.Second, "domain", "list", "--app", s.app), ask(10*time.Second, "cert", "list", "--app", s.app)}
}

// received puts what is known of its certificate beside each name.
func (s *domains) received(m *model, _ string) {
	headers, rows, ok := m.get("domain", "list", "--app", s.app).table()
	if !ok {
		s.grid.set(nil, nil)
		return
	}
	_, certs, _ := m.get("cert", "list", "--app", s.app).table()
	for i, row := range rows {
		for _, c := range certs {
			if cell(c, 1) == cell(row, 0) {
				rows[i] = append(row[:1:1], cell(c, 2), cell(c, 3), cell(c, 4))
			}
		}
	}
	s.grid.set(append(headers[:1:1], "Certificate", "Days left", "Status"), rows)
}

func (s *domains) view(m *model, w, h int) []string {
	return gridOrWords(m, &s.grid, m.get("domain", "list", "--app", s.app), w, h)
}

func (s *domains) key(m *model, key string) (tea.Cmd, bool) {
	if cmd, ok := s.keys(m, key); ok {
		return cmd, true
	}
	switch key {
	case "a":
		m.prompt("Host name to add:", "", func(host string) tea.Cmd {
			if strings.TrimSpace(host) == "" {
				return nil
			}
			return m.act("Adding "+host, "domain", "add", "--app", s.app, strings.TrimSpace(host))
		})
		return nil, true
	case "d":
		host := s.grid.name()
		if host == "" {
			return nil, true
		}
		return m.confirm(fmt.Sprintf("Take the name “%s” from “%s”?", host, line(s.app)), func() tea.Cmd {
			return m.act("Removing "+host, "domain", "remove", "--app", s.app, host)
		}), true
	}
	return nil, false
}

func (s *domains) hints(*model) []hint { return []hint{{"a", "add"}, {"d", "remove"}} }
