package command

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func whyCommands() []Command {
	return []Command{
		{Name: "why", Summary: "Say why a request failed, or list those that did", Who: Viewer, Usage: "[REQUEST-ID]", App: TakesApp, Max: 1, Run: why, Flags: []Flag{
			{Name: "lines", Short: "n", Value: "N", Help: "how many failed requests of the app (20)"},
		}},
	}
}

// maxFailures is how many failed requests are listed at most: all that are kept.
const maxFailures = 500

func why(ctx context.Context, c *Call) ([]api.Item, error) {
	switch {
	case len(c.Args) == 1:
		return whyRequest(ctx, c, c.Args[0])
	case c.App != "":
		return whyApp(ctx, c)
	}
	return nil, hop3.Errorf(hop3.CodeInvalid, "Say which request, or of which app.").
		WithHint("The id is on the page that the visitor saw: `hop3 why ID`. `hop3 why --app NAME` lists the last failed requests of an app.")
}

func whyRequest(ctx context.Context, c *Call, id string) ([]api.Item, error) {
	all, err := c.Platform.Why(ctx, c.Actor(), id)
	if err != nil {
		return nil, err
	}
	var items []api.Item
	if len(all) > 1 {
		items = append(items, api.Text("%d failed requests have this id: clients can choose it. The newest is the first.", len(all)))
	}
	for n, e := range all {
		if n > 0 {
			items = append(items, api.Text(""))
		}
		items = append(items, api.Text("%s", WhyText(e)))
	}
	return items, nil
}

// WhyText is an explanation as lines of text.
func WhyText(e platform.Explanation) string {
	lines := append([]string(nil), e.Said...)
	if len(e.Log) > 0 {
		lines = append(lines, "", "The log at that time:")
		for _, line := range e.Log {
			lines = append(lines, "  "+api.Plain(line.String()))
		}
	}
	if e.Hint != "" {
		lines = append(lines, "", "Next: "+e.Hint)
	}
	return strings.Join(lines, "\n")
}

func whyApp(ctx context.Context, c *Call) ([]api.Item, error) {
	n := 20
	if text := c.Value("lines"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			return nil, hop3.Errorf(hop3.CodeInvalid, "--lines wants a number of 1 or more, not %.40q", text)
		}
	}
	found, err := c.Platform.FailedRequests(ctx, c.Actor(), c.App, min(n, maxFailures))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return []api.Item{api.Text("No request to '%s' has failed lately.", c.App)}, nil
	}
	table := api.Table([]string{"Request", "Time", "Status", "Cause", "What"})
	for _, f := range found {
		status := "broke off"
		if f.Status != 0 {
			status = strconv.Itoa(f.Status)
		}
		table.Rows = append(table.Rows, []any{f.ID, stamp(f.Time), status, shown(platform.CauseWords(f)), shown(fmt.Sprintf("%s %s%s", f.Method, f.Host, f.Path))})
	}
	return []api.Item{table}, nil
}
