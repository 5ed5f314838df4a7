package command

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func releaseCommands() []Command {
	return []Command{
		{Name: "releases", Aliases: []string{"app releases"}, Summary: "List an app's releases", Who: Viewer, App: NeedsApp, Run: releases,
			Flags: []Flag{{Name: "lines", Short: "n", Value: "N", Help: "how many (20)"}}},
		{Name: "releases show", Summary: "Show one release", Who: Viewer, Usage: "vN", App: NeedsApp, Min: 1, Max: 1, Run: releaseShow,
			Flags: []Flag{{Name: "log", Help: "what was told to who made it"}}},
		{Name: "releases switch", Summary: "Let a release serve that was pushed with no-switch", Who: Deployer, Usage: "vN", App: NeedsApp, Min: 1, Max: 1, Run: releaseSwitch},
		{Name: "rollback", Aliases: []string{"app rollback"}, Summary: "Let an earlier release serve again", Who: Deployer, Usage: "[vN]", App: NeedsApp, Max: 1, Run: rollback,
			Flags: []Flag{{Name: "to", Value: "vN", Help: "which; the one before the live one if not said"}}},
	}
}

func releases(ctx context.Context, c *Call) ([]api.Item, error) {
	n, err := c.number("lines", 20, 1000)
	if err != nil {
		return nil, err
	}
	all, err := c.Platform.Releases(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return []api.Item{api.Text("App '%s' has no releases yet.", c.App)}, nil
	}
	table := api.Table([]string{"Release", "Status", "Kind", "Commit", "User", "Created", "Took", "Description"})
	for _, r := range all[:min(n, len(all))] {
		table.Rows = append(table.Rows, []any{
			fmt.Sprintf("v%d", r.Number), string(r.Status), string(r.Kind), short(r.Commit), r.User, stamp(r.CreatedAt), duration(r.Took), firstOf(r.Error, r.Subject),
		})
	}
	return []api.Item{table}, nil
}

func releaseShow(ctx context.Context, c *Call) ([]api.Item, error) {
	n, err := releaseNumber(c.Args[0])
	if err != nil {
		return nil, err
	}
	if c.Has("log") {
		return releaseLog(ctx, c, n)
	}
	all, err := c.Platform.Releases(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Number == n {
			return []api.Item{api.Table([]string{"Property", "Value"}, releaseRows(r)...)}, nil
		}
	}
	return nil, hop3.Errorf(hop3.CodeNotFound, "Release v%d of '%s' not found.", n, c.App)
}

func releaseLog(ctx context.Context, c *Call, number int) ([]api.Item, error) {
	var lines []string
	err := c.Platform.DeployLog(ctx, c.Actor(), c.App, number, func(line string) error {
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Text("%s", strings.Join(lines, "\n"))}, nil
}

func releaseRows(r hop3.Release) [][]any {
	var rows [][]any
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []any{name, value})
		}
	}
	add("Release", fmt.Sprintf("v%d", r.Number))
	add("Status", string(r.Status))
	add("Kind", string(r.Kind))
	add("Commit", r.Commit)
	add("Branch", r.Branch)
	add("Author", r.Author)
	add("Subject", r.Subject)
	add("User", r.User)
	add("Created", stamp(r.CreatedAt))
	add("Live since", stamp(r.LiveAt))
	add("Took", duration(r.Took))
	if r.Build != r.Number && r.Build > 0 {
		add("Built by", fmt.Sprintf("v%d", r.Build))
	}
	add("Toolchains", strings.Join(r.Artifact.Toolchains, ", "))
	for _, p := range r.Processes {
		add("Process "+p.Type, fmt.Sprintf("%d × %s", p.Count, p.Command))
	}
	add("Env digest", r.EnvDigest())
	add("Hosts", strings.Join(r.Hosts, ", "))
	add("Error", r.Error)
	return rows
}

func rollback(ctx context.Context, c *Call) ([]api.Item, error) {
	to := 0
	if word := firstOf(strings.Join(c.Args, ""), c.Value("to")); word != "" {
		n, err := releaseNumber(word)
		if err != nil {
			return nil, err
		}
		to = n
	}
	var out lines
	r, err := c.Platform.Rollback(ctx, c.Actor(), c.App, to, &out)
	if err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(),
		api.Text("App '%s' is rolled back: release v%d is live.", c.App, r.Number),
		api.Summary("rolled back %s.", c.App)), nil
}

func releaseSwitch(ctx context.Context, c *Call) ([]api.Item, error) {
	n, err := releaseNumber(c.Args[0])
	if err != nil {
		return nil, err
	}
	var out lines
	r, err := c.Platform.Switch(ctx, c.Actor(), c.App, n, &out)
	if err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(),
		api.Text("Release v%d of '%s' is live.", r.Number, c.App),
		api.Summary("switched %s to v%d.", c.App, r.Number)), nil
}

func releaseNumber(word string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(strings.ToLower(word), "v"))
	if err != nil || n < 1 {
		return 0, hop3.Errorf(hop3.CodeInvalid, "%.40q is not a release", word).WithHint("A release is written v3, or 3.")
	}
	return n, nil
}

// describe returns a release in a few words: "v3 (push 1a2b3c4d)".
func describe(r hop3.Release) string {
	words := string(r.Kind)
	if r.Commit != "" {
		words += " " + short(r.Commit)
	}
	return fmt.Sprintf("v%d (%s)", r.Number, words)
}

func short(commit string) string { return commit[:min(8, len(commit))] }

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// duration returns a time span as people like to read it; "" for none.
func duration(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// firstOf returns the first line of the first of the texts that says anything.
func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			line, _, _ := strings.Cut(t, "\n")
			return line
		}
	}
	return ""
}
