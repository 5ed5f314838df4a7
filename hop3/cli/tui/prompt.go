package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

// prompt is a question. It has the keyboard until it is answered.
type prompt struct {
	text   string // in a box; "" for none
	input  input
	yesNo  bool   // one key answers
	wanted string // what must be typed, "" for anything
	live   func(text string)
	done   func(text string) tea.Cmd
	// complete returns a text continued, for Tab.
	complete func(text string) string
	history  []string
	at       int // in history
}

// prompt asks for a line; done gets it, unless the person gives up.
func (m *model) prompt(label, value string, done func(text string) tea.Cmd) *prompt {
	m.asking = &prompt{input: newInput(" "+label+" ", value), done: done}
	return m.asking
}

// confirm asks yes or no before something that has consequences.
func (m *model) confirm(text string, yes func() tea.Cmd) tea.Cmd {
	p := m.prompt("Go on? [y/N]", "", func(string) tea.Cmd { return yes() })
	p.text, p.yesNo = text, true
	return nil
}

// confirmTyped wants the name of what is about to go.
func (m *model) confirmTyped(text, name string, yes func() tea.Cmd) tea.Cmd {
	p := m.prompt("Type “"+line(name)+"” to confirm:", "", func(string) tea.Cmd { return yes() })
	p.text, p.wanted = text, name
	return nil
}

// filter lets a grid be filtered while one types.
func (m *model) filter(g *grid) tea.Cmd {
	return m.filterText(g.filter, func(text string) {
		g.filter = text
		g.arrange()
	})
}

func (m *model) filterText(now string, set func(string)) tea.Cmd {
	p := m.prompt("/", now, func(string) tea.Cmd { return nil })
	p.live = set
	return nil
}

func (p *prompt) key(m *model, msg tea.KeyPressMsg) tea.Cmd {
	switch key := msg.String(); {
	case key == "esc":
		m.asking = nil
		if p.live != nil {
			p.live("")
		}
		return nil
	case p.yesNo:
		m.asking = nil
		if key == "y" || key == "Y" {
			return p.done("")
		}
		m.say("Nothing was done.")
		return nil
	case key == "enter":
		m.asking = nil
		if p.wanted != "" && p.input.value() != p.wanted {
			m.say("That is another name. Nothing was done.")
			return nil
		}
		return p.done(p.input.value())
	case key == "tab" && p.complete != nil:
		p.input.set(p.complete(p.input.value()))
		return nil
	case (key == "up" || key == "down") && p.history != nil:
		p.recall(key == "up")
		return nil
	}
	p.input.key(msg)
	p.changed()
	return nil
}

// paste takes what comes from the clipboard, or from a terminal that types
// fast.
func (p *prompt) paste(text string) {
	if p.yesNo {
		return
	}
	p.input.insert(text)
	p.changed()
}

func (p *prompt) changed() {
	if p.live != nil {
		p.live(p.input.value())
	}
}

// recall goes through the earlier lines.
func (p *prompt) recall(older bool) {
	if older {
		p.at = min(p.at+1, len(p.history))
	} else {
		p.at = max(p.at-1, 0)
	}
	text := ""
	if p.at > 0 {
		text = p.history[len(p.history)-p.at]
	}
	p.input.set(text)
}

func (p *prompt) line(m *model) string {
	return p.input.view(m.w)
}

func (p *prompt) hints() []hint {
	switch {
	case p.yesNo:
		return []hint{{"y", "yes"}, {"any other key", "no"}}
	case p.live != nil:
		return []hint{{"Enter", "keep"}, {"Esc", "clear"}}
	case p.complete != nil:
		return []hint{{"Enter", "run"}, {"Tab", "complete"}, {"↑↓", "earlier"}, {"Esc", "give up"}}
	}
	return []hint{{"Enter", "accept"}, {"Esc", "give up"}}
}

// box draws the question in the middle.
func (p *prompt) box(m *model, w, h int) []string {
	inner := min(64, w-6)
	text := strings.Join(wrapped(p.text, inner), "\n")
	box := lipgloss.NewStyle().Border(lipgloss.RoundedBorder()).Padding(1, 2).Render(text)
	return block(strings.Split(lipgloss.Place(w, h, lipgloss.Center, lipgloss.Center, box), "\n"), w, h)
}
