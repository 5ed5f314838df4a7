package tui

import (
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/abilian/hop3/hop3/api"
)

// text is lines that can be scrolled.
type text struct {
	scroll, height, length int
}

func (s *text) cut(lines []string, h int) []string {
	s.height, s.length = h, len(lines)
	s.scroll = max(0, min(s.scroll, len(lines)-h))
	return lines[s.scroll:]
}

func (s *text) key(key string) bool {
	switch key {
	case "up", "k":
		s.scroll--
	case "down", "j":
		s.scroll++
	case "pgup":
		s.scroll -= s.height
	case "pgdown", "space", " ":
		s.scroll += s.height
	case "g", "home":
		s.scroll = 0
	case "G", "end":
		s.scroll = s.length
	default:
		return false
	}
	return true
}

// answerPage shows what the server says to one command, whatever that is.
type answerPage struct {
	text
	title string
	args  []string
}

func newAnswer(title string, args ...string) *answerPage {
	return &answerPage{title: title, args: args}
}

func (s *answerPage) name() string { return s.title }

func (s *answerPage) needs(*model) []query { return []query{ask(10*time.Second, s.args...)} }

func (s *answerPage) view(m *model, w, h int) []string {
	a := m.get(s.args...)
	if a == nil {
		return nil
	}
	if a.err != nil {
		return s.cut(gridOrWords(m, &grid{}, a, w, h), h)
	}
	return s.cut(itemLines(m, a.items, w), h)
}

// itemLines draws items one below the other.
func itemLines(m *model, items []api.Item, w int) []string {
	var lines []string
	for _, item := range items {
		if item.T == api.KindTable {
			a := &answer{items: []api.Item{item}}
			headers, rows, _ := a.table()
			if len(headers) == 2 && headers[0] == "Property" {
				lines = append(lines, properties(m, a, w)...)
				continue
			}
			g := grid{}
			g.set(headers, rows)
			lines = append(lines, unchosen(m, &g, w, len(rows)+1)...)
			continue
		}
		words := itemText(item)
		if item.T == api.KindData || item.T == api.KindBlob {
			words = "(data for programs: `hop3 --json` shows it)"
		}
		style := m.theme.row
		switch item.T {
		case api.KindError:
			style = m.theme.bad
		case api.KindWarning:
			style = m.theme.warn
		case api.KindSuccess, api.KindSummary:
			style = m.theme.good
		}
		for _, l := range wrapped(words, w-2) {
			lines = append(lines, " "+style.Render(ansi.Strip(l)))
		}
	}
	return lines
}

func (s *answerPage) key(_ *model, key string) (tea.Cmd, bool) { return nil, s.text.key(key) }

func (s *answerPage) click(*model, int, int) tea.Cmd { return nil }

func (s *answerPage) wheel(_ *model, by int) tea.Cmd {
	s.scroll += by
	return nil
}

func (s *answerPage) hints(*model) []hint { return []hint{{"↑↓", "scroll"}, {"Esc", "back"}} }
