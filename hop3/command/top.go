package command

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func topCommands() []Command {
	return []Command{
		{Name: "top", Aliases: []string{"app top"}, Summary: "Show what is going on: requests, memory, CPU", Who: Viewer, App: TakesApp, Run: top, Flags: []Flag{
			{Name: "lines", Short: "n", Value: "N", Help: "how many apps, the busiest (50)"},
			{Name: "raw", Help: "bare numbers: seconds, bytes, cores"},
		}},
	}
}

// topLines is how many apps are shown unless somebody says.
const topLines = 50

// top answers a table of the last ten seconds. Clients call it again and again.
func top(ctx context.Context, c *Call) ([]api.Item, error) {
	most := topLines
	if text := c.Value("lines"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLines {
			return nil, hop3.Errorf(hop3.CodeInvalid, "--lines wants a number from 1 to %d, not %.40q", maxLines, text)
		}
		most = n
	}
	rows, more, err := c.Platform.Top(ctx, c.Actor(), c.App, most)
	if err != nil {
		return nil, err
	}
	first := "App"
	if c.App != "" {
		first = "Release"
	}
	table := api.Table([]string{first, "Req/s", "Errors", "p50", "p95", "p99", "In flight", "Held", "Instances", "Memory", "CPU"})
	cells := topCells
	if c.Has("raw") {
		cells = rawCells
	}
	for _, row := range rows {
		table.Rows = append(table.Rows, cells(row, topName(row, c.App != "")))
	}
	items := []api.Item{table}
	if more > 0 {
		items = append(items, api.Info("%d more apps; -n shows more", more))
	}
	return items, nil
}

// topName is the first cell of a row.
func topName(row platform.TopRow, release bool) string {
	switch {
	case !release:
		return row.App
	case row.Instance != "":
		return "  " + row.Instance
	case row.Release == 0:
		return "(no release)"
	case row.Live:
		return fmt.Sprintf("v%d, live", row.Release)
	}
	return fmt.Sprintf("v%d", row.Release)
}

// topCells are what people read: what is nothing is left empty.
func topCells(row platform.TopRow, name string) []any {
	cells := make([]any, 0, 11)
	cells = append(cells, name)
	if row.Instance != "" {
		cells = append(cells, "", "", "", "", "", "", "", row.State)
	} else {
		instances := count(row.Running)
		if instances == "" {
			instances = row.State
		}
		cells = append(cells, fmt.Sprintf("%.1f", row.Rate), share(row.ErrorRate, row.Rate), span(row.P50), span(row.P95), span(row.P99),
			count(row.InFlight), count(row.Held), instances)
	}
	if !row.Measured {
		return append(cells, "", "")
	}
	return append(cells, shortBytes(row.Memory), fmt.Sprintf("%.1f%%", row.CPU*100))
}

// rawCells are what programs read. What is not known is null.
func rawCells(row platform.TopRow, _ string) []any {
	name := row.App
	switch {
	case row.Instance != "":
		name = row.Instance
	case row.Release != 0:
		name = "v" + strconv.Itoa(row.Release)
	}
	cells := []any{name, row.Rate, row.ErrorRate, row.P50.Seconds(), row.P95.Seconds(), row.P99.Seconds(), row.InFlight, row.Held, row.Running}
	if row.Instance != "" {
		cells = []any{name, nil, nil, nil, nil, nil, nil, nil, nil}
	}
	if !row.Measured {
		return append(cells, nil, nil)
	}
	return append(cells, row.Memory, row.CPU)
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// share is a part of a whole in percent.
func share(part, whole float64) string {
	if part == 0 || whole == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f%%", 100*part/whole)
}

// span is a time with the digits that matter.
func span(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d >= 100*time.Second:
		return ">100s"
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

// shortBytes is a size with the digits that matter.
func shortBytes(n int64) string {
	size, unit := float64(n)/1024, 0
	for size >= 1000 && unit < 3 {
		size, unit = size/1024, unit+1
	}
	if size >= 100 || unit == 0 {
		return fmt.Sprintf("%.0f%c", size, "KMGT"[unit])
	}
	return fmt.Sprintf("%.1f%c", size, "KMGT"[unit])
}
