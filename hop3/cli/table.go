package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// table lays out rows under headers: with lines around for people, in plain
// columns for programs.
func table(headers []string, rows [][]any, boxes bool) string {
	grid := [][]string{cells(headers)}
	for _, row := range rows {
		grid = append(grid, cells(row))
	}
	widths := make([]int, len(headers))
	for _, row := range grid {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	if boxes {
		return boxed(grid, widths)
	}
	return columns(grid, widths)
}

// tableWithin is table for a terminal: what is too wide for it has no lines
// around or, when that does not help, a line for each cell.
func tableWithin(headers []string, rows [][]any, width int) string {
	for _, boxes := range []bool{true, false} {
		if text := table(headers, rows, boxes); width == 0 || widest(text) <= width {
			return text
		}
	}
	names := 0
	for _, h := range headers {
		names = max(names, utf8.RuneCountInString(h))
	}
	var b strings.Builder
	for n, row := range rows {
		if n > 0 {
			b.WriteString("\n")
		}
		for i, cell := range cells(row) {
			if i < len(headers) && cell != "" {
				fmt.Fprintf(&b, "%-*s  %s\n", names, headers[i], cell)
			}
		}
	}
	return b.String()
}

func columns(grid [][]string, widths []int) string {
	var b strings.Builder
	for _, row := range grid {
		b.WriteString(strings.TrimRight(joined(row, widths, "  "), " ") + "\n")
	}
	return b.String()
}

func boxed(grid [][]string, widths []int) string {
	rule := func(left, middle, right string) string {
		parts := make([]string, len(widths))
		for i, w := range widths {
			parts[i] = strings.Repeat("─", w+2)
		}
		return left + strings.Join(parts, middle) + right + "\n"
	}
	var b strings.Builder
	b.WriteString(rule("┌", "┬", "┐"))
	for i, row := range grid {
		b.WriteString("│ " + joined(row, widths, " │ ") + " │\n")
		if i == 0 && len(grid) > 1 {
			b.WriteString(rule("├", "┼", "┤"))
		}
	}
	b.WriteString(rule("└", "┴", "┘"))
	return b.String()
}

func joined(row []string, widths []int, between string) string {
	parts := make([]string, len(widths))
	for i, w := range widths {
		cell := ""
		if i < len(row) {
			cell = row[i]
		}
		parts[i] = cell + strings.Repeat(" ", w-utf8.RuneCountInString(cell))
	}
	return strings.Join(parts, between)
}

// cells returns values as texts on one line; nothing for null.
func cells[T any](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		if any(v) != nil {
			out[i] = strings.ReplaceAll(clean(fmt.Sprint(v)), "\n", " ")
		}
	}
	return out
}

// widest is how many columns the longest line of a text has.
func widest(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		n = max(n, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")))
	}
	return n
}
