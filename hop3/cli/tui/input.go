package tui

import (
	"slices"
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// maxInput bounds what is typed, or pasted by mistake.
const maxInput = 64 << 10

// input is a line that is being typed. The one of bubbles looks for clipboard
// programs at the start of every program that it is linked into, also for
// `hop3 --help`.
type input struct {
	label string
	text  []rune
	at    int // of text; the cursor is before it
}

func newInput(label, text string) input {
	in := input{label: label}
	in.set(text)
	return in
}

func (in *input) set(text string) {
	in.text = []rune(text)
	in.at = len(in.text)
}

func (in *input) value() string { return string(in.text) }

// insert adds a text where the cursor is, without what does not belong on a
// line.
func (in *input) insert(text string) {
	runes := slices.DeleteFunc([]rune(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(text)), unicode.IsControl)
	runes = runes[:min(len(runes), maxInput-len(in.text))]
	in.text = slices.Insert(in.text, in.at, runes...)
	in.at += len(runes)
}

// key edits the line.
func (in *input) key(msg tea.KeyPressMsg) {
	switch msg.String() {
	case "left", "ctrl+b":
		in.at = max(0, in.at-1)
	case "right", "ctrl+f":
		in.at = min(len(in.text), in.at+1)
	case "home", "ctrl+a":
		in.at = 0
	case "end", "ctrl+e":
		in.at = len(in.text)
	case "backspace", "ctrl+h":
		in.cut(in.at-1, in.at)
	case "delete", "ctrl+d":
		in.cut(in.at, in.at+1)
	case "ctrl+u":
		in.cut(0, in.at)
	case "ctrl+k":
		in.cut(in.at, len(in.text))
	case "ctrl+w":
		from := in.at
		for from > 0 && in.text[from-1] == ' ' {
			from--
		}
		for from > 0 && in.text[from-1] != ' ' {
			from--
		}
		in.cut(from, in.at)
	default:
		in.insert(msg.Text)
	}
}

func (in *input) cut(from, to int) {
	from, to = max(0, from), min(to, len(in.text))
	if from < to {
		in.text = slices.Delete(in.text, from, to)
		in.at = from
	}
}

// view draws the line in w columns, as far to the right as the cursor needs.
func (in *input) view(w int) string {
	before, under, after := line(string(in.text[:in.at])), " ", ""
	if in.at < len(in.text) {
		under, after = string(in.text[in.at]), line(string(in.text[in.at+1:]))
	}
	room := w - ansi.StringWidth(in.label) - 2
	if over := ansi.StringWidth(before) - max(1, room); over > 0 {
		before = ansi.TruncateLeft(before, over+1, "…")
	}
	return fit(in.label+before+lipgloss.NewStyle().Reverse(true).Render(under)+after, w)
}
