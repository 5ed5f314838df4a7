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
