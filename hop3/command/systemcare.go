package command

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

// systemStatus answers with lines, or with the object of Hop3 (Python).
func systemStatus(ctx context.Context, c *Call) ([]api.Item, error) {
	all, err := c.Platform.Status(ctx, c.Actor())
	if err != nil {
		return nil, err
	}
	worst := platform.SeverityOK
	var titles []string
	sections := map[string][]any{}
	var lines []string
	for _, item := range all {
		if sections[item.Section] == nil {
			titles = append(titles, item.Section)
			lines = append(lines, "", item.Section)
		}
		sections[item.Section] = append(sections[item.Section], map[string]any{"name": item.Name, "severity": string(item.Severity), "detail": item.Detail})
		lines = append(lines, fmt.Sprintf("  %-4s  %-20s %s", item.Severity, item.Name, item.Detail))
		if item.Severity == platform.SeverityFail || item.Severity == platform.SeverityWarn && worst == platform.SeverityOK {
			worst = item.Severity
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = c.Platform.Settings.BaseDomain
	}
	uptime := time.Since(c.commands.started).Round(time.Second).String()
	if c.Has("json") {
		var list []any
		for _, title := range titles {
			list = append(list, map[string]any{"title": title, "items": sections[title]})
		}
		return []api.Item{api.Data(map[string]any{
			"identity": map[string]any{"hostname": host, "version": c.commands.server.Version, "uptime": uptime},
			"overall":  string(worst), "sections": list,
		})}, nil
	}
	items := []api.Item{api.Text("%s, Hop3 %s, up %s%s", host, c.commands.server.Version, uptime, "\n"+strings.Join(lines, "\n"))}
	switch worst {
	case platform.SeverityFail:
		return append(items, api.Warning("Something needs you.")), nil
	case platform.SeverityWarn:
		return append(items, api.Warning("All serves, and something deserves a look.")), nil
	default:
		return append(items, api.Success("All is well.")), nil
	}
}

// mostLogLines bounds an answer of system logs.
const mostLogLines = 10_000

func systemLogs(ctx context.Context, c *Call) ([]api.Item, error) {
	n, err := c.number("lines", 100, mostLogLines)
	if err != nil {
		return nil, err
	}
	q := platform.ServerLogQuery{Lines: n, Level: c.Value("level"), Grep: c.Value("grep")}
	if text := c.Value("since"); text != "" {
		if q.Since, err = parseSince(text, time.Now()); err != nil {
			return nil, err
		}
	}
	found, err := c.Platform.ServerLog(ctx, c.Actor(), q)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return []api.Item{api.Text("No log entries found.")}, nil
	}
	lines := make([]string, len(found))
	for i, l := range found {
		lines[i] = fmt.Sprintf("%s %-5s %s", l.Time.UTC().Format("2006-01-02 15:04:05"), strings.ToUpper(l.Level), l.Text)
	}
	return []api.Item{api.Text("%s", strings.Join(lines, "\n"))}, nil
}

func systemCleanup(ctx context.Context, c *Call) ([]api.Item, error) {
	dry := c.Has("dry-run")
	cleaned, skipped, err := c.Platform.Cleanup(ctx, c.Actor(), c.Has("all"), dry)
	if err != nil && len(cleaned) == 0 {
		return nil, err
	}
	var items []api.Item
	var total int64
	if len(cleaned) > 0 {
		table := api.Table([]string{"App", "What", "Size"})
		for _, one := range cleaned {
			total += one.Bytes
			table.Rows = append(table.Rows, []any{one.App, one.Path, megabytes(one.Bytes)})
		}
		items = append(items, table)
	}
	if len(skipped) > 0 {
		items = append(items, api.Text("Being changed, and left alone: %s", strings.Join(skipped, ", ")))
	}
	if err != nil {
		items = append(items, api.Warning("Not all could be removed: %s", hop3.MessageOf(err)))
	}
	if dry {
		return append(items, api.Text("%s would be removed. Nothing was.", megabytes(total))), nil
	}
	return append(items, api.Text("%s removed.", megabytes(total)), api.Summary("cleaned up %s.", megabytes(total))), nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
