package tui

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// grid is a table with a chosen row, a filter and an order.
type grid struct {
	headers []string
	rows    [][]string // clean, as they came
	shown   [][]string // of them what the filter lets through, in order
	id      int        // how many cells make a row the same one later; 0 is 1
	filter  string
	order   int // the column after which they are sorted, from 1; 0 as they came, negative downwards
	cursor  int // in shown
	top     int // the first row that is seen
	height  int // how many rows are seen
}

// set replaces the rows. The row with the same first cells stays chosen.
func (g *grid) set(headers []string, rows [][]string) {
	chosen := g.chosen()
	g.headers, g.rows = headers, rows
	g.arrange()
	if chosen == nil {
		return
	}
	for i, row := range g.shown {
		if n := max(1, g.id); slices.Equal(row[:min(n, len(row))], chosen[:min(n, len(chosen))]) {
			g.cursor = i
			return
		}
	}
}

// arrange filters and sorts.
func (g *grid) arrange() {
	g.shown = g.shown[:0:0]
	want := strings.ToLower(g.filter)
	for _, row := range g.rows {
		if want == "" || strings.Contains(strings.ToLower(strings.Join(row, "\x00")), want) {
			g.shown = append(g.shown, row)
		}
	}
	if column := max(g.order, -g.order); column > 0 {
		slices.SortStableFunc(g.shown, func(a, b []string) int {
			order := compare(cell(a, column-1), cell(b, column-1))
			if g.order < 0 {
				order = -order
			}
			return order
		})
	}
	g.move(0)
}

// compare orders numbers as numbers, all else without regard to case.
func compare(a, b string) int {
	x, errX := strconv.Atoi(strings.TrimPrefix(a, "v"))
	y, errY := strconv.Atoi(strings.TrimPrefix(b, "v"))
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(strings.ToLower(a), strings.ToLower(b))
}

func cell(row []string, i int) string {
	if i < len(row) {
		return row[i]
	}
	return ""
}

// sortNext goes on to the next order: each column up, then down.
func (g *grid) sortNext() {
	switch {
	case g.order > 0:
		g.order = -g.order
	case -g.order < len(g.headers):
		g.order = -g.order + 1
	default:
		g.order = 0
	}
	g.arrange()
}

func (g *grid) sortBy(column int) {
	if g.order == column {
		column = -column
	}
	g.order = column
	g.arrange()
}

// chosen returns the chosen row, nil when there is none.
func (g *grid) chosen() []string {
	if g.cursor < 0 || g.cursor >= len(g.shown) {
		return nil
	}
	return g.shown[g.cursor]
}

// name returns the first cell of the chosen row, or "".
func (g *grid) name() string { return cell(g.chosen(), 0) }

func (g *grid) move(by int) {
	g.cursor = max(0, min(g.cursor+by, len(g.shown)-1))
}

// key moves the choice; it reports whether the key is one for that.
func (g *grid) key(key string) bool {
	switch key {
	case "up", "k":
		g.move(-1)
	case "down", "j":
		g.move(1)
	case "pgup", "ctrl+b":
		g.move(-max(1, g.height-1))
	case "pgdown", "ctrl+f":
		g.move(max(1, g.height-1))
	case "home", "g":
		g.move(-len(g.shown))
	case "end", "G":
		g.move(len(g.shown))
	default:
		return false
	}
	return true
}

// click chooses the row that is seen at y of the grid, or sorts by the header
// at x. It reports whether the row was chosen already: then it is opened.
func (g *grid) click(x, y, w int) (open bool) {
	if y == 0 {
		at := margin
		for i, width := range g.widths(w) {
			if at += width + gap; x < at {
				g.sortBy(i + 1)
				break
			}
		}
		return false
	}
	if row := g.top + y - 1; row >= 0 && row < len(g.shown) {
		open = g.cursor == row
		g.cursor = row
	}
	return open
}

const (
	gap       = 2 // between columns
	margin    = 1 // before the first
	minColumn = 5
	minLast   = 14
)

// widths returns how wide each column is drawn; the columns that do not fit
// any more are left out.
func (g *grid) widths(w int) []int {
	widths := make([]int, len(g.headers))
	for i, h := range g.headers {
		widths[i] = ansi.StringWidth(h)
		if i+1 == max(g.order, -g.order) {
			widths[i] += 2 // its arrow
		}
		for _, row := range g.shown {
			widths[i] = max(widths[i], ansi.StringWidth(cell(row, i)))
		}
	}
	sum := func() int {
		n := -gap
		for _, w := range widths {
			n += w + gap
		}
		return n
	}
	w -= margin
	// What says most in words is last: it gives way first, then the widest.
	if n := len(widths) - 1; n >= 0 && sum() > w {
		widths[n] = max(min(widths[n], minLast), widths[n]-(sum()-w))
	}
	for over := sum() - w; over > 0 && len(widths) > 0; over = sum() - w {
		widest := 0
		for i := range widths {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= minColumn {
			widths = widths[:len(widths)-1]
			continue
		}
		second := minColumn
		for i := range widths {
			if i != widest {
				second = max(second, min(widths[i], widths[widest]-1))
			}
		}
		widths[widest] = max(widths[widest]-over, second)
	}
	return widths
}

// view draws the headers and as many rows as there is room for.
func (g *grid) view(t theme, w, h int) []string {
	g.height = max(1, h-1)
	g.top = max(0, min(g.top, len(g.shown)-g.height))
	if g.cursor < g.top {
		g.top = g.cursor
	}
	if g.cursor >= g.top+g.height {
		g.top = g.cursor - g.height + 1
	}
	widths := g.widths(w)
	lines := []string{t.header.Render(fit(g.head(widths), w))}
	for i := g.top; i < min(len(g.shown), g.top+g.height); i++ {
		lines = append(lines, g.row(t, g.shown[i], widths, w, i == g.cursor))
	}
	if len(g.shown) == 0 && len(g.rows) > 0 {
		lines = append(lines, t.dim.Render(fit("Nothing matches “"+line(g.filter)+"”.", w)))
	}
	return block(lines, w, h)
}

func (g *grid) head(widths []int) string {
	var b strings.Builder
	for i, width := range widths {
		name := g.headers[i]
		switch g.order {
		case i + 1:
			name += " ▲"
		case -(i + 1):
			name += " ▼"
		}
		b.WriteString(between(i) + fit(name, width))
	}
	return b.String()
}

func (g *grid) row(t theme, row []string, widths []int, w int, on bool) string {
	var b strings.Builder
	for i, width := range widths {
		text := fit(cell(row, i), width)
		if style, ok := t.state(cell(row, i)); ok && !on {
			text = style.Render(text)
		}
		b.WriteString(between(i) + text)
	}
	text := fit(b.String(), w)
	if on {
		return t.rowOn.Render(text)
	}
	return text
}

// between is the blanks before a column.
func between(column int) string {
	if column == 0 {
		return strings.Repeat(" ", margin)
	}
	return strings.Repeat(" ", gap)
}
