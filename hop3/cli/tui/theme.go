package tui

import (
	"strings"

	"charm.land/lipgloss/v2"
)

// theme is the styles for one kind of background. The colours are the 16 of
// the terminal's own palette, so that they are readable where the person has
// made them so.
type theme struct {
	title, tab, tabOn, header, row, rowOn, dim, good, bad, warn, key, banner lipgloss.Style
}

func newTheme(dark bool) theme {
	accent, dim, warn := "4", "8", "3"
	if dark {
		accent, dim, warn = "14", "7", "11"
	}
	color := func(c string) lipgloss.Style { return lipgloss.NewStyle().Foreground(lipgloss.Color(c)) }
	t := theme{
		title:  color(accent).Bold(true),
		tab:    lipgloss.NewStyle(),
		tabOn:  lipgloss.NewStyle().Reverse(true).Bold(true),
		header: color(accent).Bold(true),
		row:    lipgloss.NewStyle(),
		rowOn:  lipgloss.NewStyle().Reverse(true),
		dim:    color(dim),
		good:   color("2"),
		bad:    color("1").Bold(true),
		warn:   color(warn),
		key:    color(accent),
		banner: lipgloss.NewStyle().Background(lipgloss.Color("1")).Foreground(lipgloss.Color("15")).Bold(true),
	}
	if dark {
		t.good, t.bad = color("10"), color("9").Bold(true)
	}
	return t
}

// state is the style of an app's state, of a release's, of a result.
func (t theme) state(word string) (lipgloss.Style, bool) {
	switch strings.ToLower(word) {
	case "running", "live", "exit 0":
		return t.good, true
	case "failed", "crashed", "expired":
		return t.bad, true
	case "starting", "stopping", "building", "pending", "waiting", "under way":
		return t.warn, true
	case "stopped", "superseded", "retired":
		return t.dim, true
	}
	return t.row, false
}
