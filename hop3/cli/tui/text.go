package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// clean makes a text from elsewhere harmless to the terminal: an app's name, a
// variable or a log line may be written by anybody. Escape sequences, control
// characters and what turns the direction of writing go; line ends stay.
func clean(text string) string {
	text = ansi.Strip(strings.ToValidUTF8(text, "\uFFFD"))
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029,
			r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f:
			return -1
		}
		return r
	}, text)
}

// line is clean for one line.
func line(text string) string { return strings.ReplaceAll(clean(text), "\n", " ") }

// fit makes a text exactly w columns wide, whatever characters it has.
func fit(text string, w int) string {
	if w <= 0 {
		return ""
	}
	n := ansi.StringWidth(text)
	if n > w {
		text = ansi.Truncate(text, w, "…")
		n = ansi.StringWidth(text)
	}
	return text + strings.Repeat(" ", max(0, w-n))
}

// wrapped breaks a clean text into lines of at most w columns.
func wrapped(text string, w int) []string {
	return strings.Split(ansi.Wrap(text, max(1, w), ""), "\n")
}

// span is a time span in a few letters: "12 s", "3 min".
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}

// block makes lines exactly w columns wide and h lines high.
func block(lines []string, w, h int) []string {
	out := make([]string, max(0, h))
	for i := range out {
		if i < len(lines) {
			out[i] = fit(lines[i], w)
		} else {
			out[i] = strings.Repeat(" ", max(0, w))
		}
	}
	return out
}

// briefTime leaves out of a time, as the server writes it, the year and the
// seconds.
func briefTime(text string) string {
	if t, err := time.Parse("2006-01-02 15:04:05", text); err == nil {
		return t.Format("01-02 15:04")
	}
	return text
}

// briefTimes are rows with what the column Created says in brief.
func briefTimes(headers []string, rows [][]string) [][]string {
	column := slices.Index(headers, "Created")
	for _, row := range rows {
		if column >= 0 && column < len(row) {
			row[column] = briefTime(row[column])
		}
	}
	return rows
}
