package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

const (
	// dashboardApps is of how many apps the dashboard asks the releases: each
	// is a call.
	dashboardApps = 16
	// soonDays is how long before their end certificates are mentioned. They
	// are renewed 30 days before.
	soonDays = 21
)

// dashboard is the server at a glance.
type dashboard struct{ recent grid }

func newDashboard() *dashboard { return &dashboard{recent: grid{id: 3}} }

func (s *dashboard) name() string { return "Dashboard" }

func (s *dashboard) needs(m *model) []query {
	queries := []query{
		ask(appsEvery, "app", "list"),
		ask(time.Minute, "system", "info"),
		ask(time.Minute, "cert", "list"),
	}
	names := m.appNames()
	for _, app := range names[:min(len(names), dashboardApps)] {
		queries = append(queries, recentReleases(app))
	}
	return queries
}

func recentReleases(app string) query {
	return ask(20*time.Second, "releases", "--app", app, "--lines", "3")
}

// received puts the latest releases of all apps together.
func (s *dashboard) received(m *model, _ string) {
	var rows [][]string
	for _, app := range m.appNames() {
		headers, of, _ := m.get(recentReleases(app).args...).table()
		at := map[string]int{}
		for i, h := range headers {
			at[h] = i + 1
		}
		column := func(row []string, name string) string { return cell(row, at[name]-1) }
		for _, row := range of {
			rows = append(rows, []string{
				column(row, "Created"), app, column(row, "Release"), column(row, "Status"), column(row, "Kind"), column(row, "User"), column(row, "Description"),
			})
		}
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return cmp.Compare(b[0], a[0]) })
	for i := range rows {
		rows[i][0] = briefTime(rows[i][0])
	}
	s.recent.set([]string{"When (UTC)", "App", "Release", "Status", "Kind", "By", "Description"}, rows)
}

func (s *dashboard) start(m *model) tea.Cmd {
	s.received(m, "")
	return nil
}

func (s *dashboard) view(m *model, w, h int) []string {
	lines := slices.Concat(s.appsByState(m, w), s.certificates(m, w))
	info := wrapped(m.get("system", "info").words(), w-2)
	if m.get("system", "info") == nil {
		info = nil
	}
	room := h - len(lines) - len(info) - 2
	lines = append(lines, m.theme.header.Render(" Recent releases"))
	names := m.appNames()
	switch {
	case len(s.recent.rows) > 0:
		lines = append(lines, s.recent.view(m.theme, w, max(2, min(room, len(s.recent.rows)+1)))...)
		if len(names) > dashboardApps {
			lines = append(lines, m.theme.dim.Render(fmt.Sprintf(" of the first %d apps; an app's page has its own", dashboardApps)))
		}
	case m.get("app", "list") != nil:
		lines = append(lines, m.theme.dim.Render(" none yet"))
	}
	for len(lines) < h-len(info)-1 {
		lines = append(lines, "")
	}
	lines = append(lines, m.theme.header.Render(" Server"))
	for _, l := range info {
		lines = append(lines, " "+l)
	}
	return lines
}

// appsByState counts the apps, and names those that are not well.
func (s *dashboard) appsByState(m *model, w int) []string {
	a := m.get("app", "list")
	lines := []string{m.theme.header.Render(" Apps")}
	_, rows, ok := a.table()
	if !ok {
		return append(append(lines, gridOrWords(m, &grid{}, a, w, 1)...), "")
	}
	count, failed := map[string]int{}, []string{}
	var states []string
	for _, row := range rows {
		state := cell(row, 1)
		if count[state]++; count[state] == 1 {
			states = append(states, state)
		}
		if state == "FAILED" {
			failed = append(failed, cell(row, 0))
		}
	}
	slices.Sort(states)
	var parts []string
	for _, state := range states {
		style, _ := m.theme.state(state)
		parts = append(parts, style.Render(fmt.Sprintf("%d %s", count[state], strings.ToLower(state))))
	}
	lines = append(lines, " "+strings.Join(parts, "   "))
	if len(failed) > 0 {
		lines = append(lines, m.theme.bad.Render(fit(" Failed: "+strings.Join(failed, ", "), w)))
	}
	return append(lines, "")
}

// certificates names those that end soon, or that could not be had.
func (s *dashboard) certificates(m *model, w int) []string {
	a := m.get("cert", "list")
	_, rows, ok := a.table()
	lines := []string{m.theme.header.Render(" Certificates")}
	if !ok {
		return append(append(lines, gridOrWords(m, &grid{}, a, w, 1)...), "")
	}
	const most = 3
	var trouble []string
	good := 0
	for _, row := range rows {
		days, err := strconv.Atoi(cell(row, 3))
		switch status := cell(row, 4); {
		case err == nil && days < soonDays:
			trouble = append(trouble, fmt.Sprintf(" %s: %d days left, %s", cell(row, 1), days, status))
		case err == nil:
			good++
		case strings.Contains(status, "Next attempt"):
			trouble = append(trouble, " "+cell(row, 1)+": "+status)
		}
	}
	for i, t := range trouble {
		if i == most {
			lines = append(lines, m.theme.warn.Render(fmt.Sprintf(" and %d more: `:cert list`", len(trouble)-most)))
			break
		}
		lines = append(lines, m.theme.warn.Render(fit(t, w)))
	}
	if len(trouble) == 0 {
		lines = append(lines, m.theme.dim.Render(fmt.Sprintf(" %d host names, %d certificates, none about to end", len(rows), good)))
	}
	return append(lines, "")
}

func (s *dashboard) key(m *model, key string) (tea.Cmd, bool) {
	if key == "enter" {
		if app := cell(s.recent.chosen(), 1); app != "" {
			return m.open(newAppPage(app)), true
		}
		return m.show(newApps()), true
	}
	return nil, s.recent.key(key)
}

func (s *dashboard) click(m *model, x, y int) tea.Cmd {
	at := len(s.appsByState(m, m.w)) + len(s.certificates(m, m.w)) + 1
	if y >= at && s.recent.click(x, y-at, m.w) {
		return m.open(newAppPage(cell(s.recent.chosen(), 1)))
	}
	return nil
}

func (s *dashboard) wheel(_ *model, by int) tea.Cmd {
	s.recent.move(by)
	return nil
}

func (s *dashboard) hints(*model) []hint {
	return []hint{{"a", "apps"}, {"Enter", "open"}, {"r", "refresh"}, {"x", "servers"}}
}
