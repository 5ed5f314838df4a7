package tui

import (
	"strings"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

// prompt is a question. It has the keyboard until it is answered.
type prompt struct {
	text   string // in a box; "" for none
	input  textinput.Model
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
	input := textinput.New()
	input.Prompt = " " + label + " "
	input.CharLimit = 64 << 10
	input.SetValue(value)
	input.SetVirtualCursor(true)
	m.asking = &prompt{input: input, done: done}
	return m.asking
}

// confirm asks yes or no before something that has consequences.
func (m *model) confirm(text string, yes func() tea.Cmd) tea.Cmd {
	p := m.prompt("Go on? [y/N]", "", func(string) tea.Cmd { return yes() })
	p.text, p.yesNo = text, true
	return p.input.Focus()
}

// confirmTyped wants the name of what is about to go.
func (m *model) confirmTyped(text, name string, yes func() tea.Cmd) tea.Cmd {
	p := m.prompt("Type “"+line(name)+"” to confirm:", "", func(string) tea.Cmd { return yes() })
	p.text, p.wanted = text, name
	return p.input.Focus()
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
	return p.input.Focus()
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
		if p.wanted != "" && p.input.Value() != p.wanted {
			m.say("That is another name. Nothing was done.")
			return nil
		}
		return p.done(p.input.Value())
	case key == "tab" && p.complete != nil:
		p.input.SetValue(p.complete(p.input.Value()))
		p.input.CursorEnd()
		return nil
	case (key == "up" || key == "down") && p.history != nil:
		p.recall(key == "up")
		return nil
	}
	return p.update(m, msg)
}

func (p *prompt) update(_ *model, msg tea.Msg) tea.Cmd {
	if p.yesNo {
		return nil
	}
	var cmd tea.Cmd
	p.input, cmd = p.input.Update(msg)
	if p.live != nil {
		p.live(p.input.Value())
	}
	return cmd
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
	p.input.SetValue(text)
	p.input.CursorEnd()
}

func (p *prompt) line(m *model) string {
	if p.yesNo {
		return fit(p.input.Prompt, m.w)
	}
	p.input.SetWidth(max(5, m.w-lipgloss.Width(p.input.Prompt)-2))
	return fit(p.input.View(), m.w)
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
