package command

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func logCommands() []Command {
	return []Command{
		{Name: "app logs", Aliases: []string{"logs"}, Summary: "Show an app's logs", App: NeedsApp, Run: appLogs, Attach: attachLogs, Flags: []Flag{
			{Name: "lines", Short: "n", Value: "N", Help: "how many lines, the last ones (100; with --since all)"},
			{Name: "follow", Short: "f", Help: "go on with new lines"},
			{Name: "since", Value: "TIME", Help: "only lines written since: 10m, 2h30m, 3d, 2026-11-24 10:00 (UTC), or RFC 3339"},
			{Name: "grep", Value: "TEXT", Help: "only lines with TEXT in them, in whichever case"},
			{Name: "type", Short: "p", Value: "PROCESS", Help: "only this process type, or instance (web.2)"},
			{Name: "since-deploy", Help: "only lines since the last deploy"},
			{Name: "build", Help: "the log of the last build instead"},
			{Name: "access", Help: "the log of its requests instead"},
		}},
		{Name: "app build-logs", Summary: "Show the log of an app's last build", App: NeedsApp, Hidden: true, Run: appBuildLogs, Flags: []Flag{
			{Name: "lines", Short: "n", Value: "N", Help: "how many lines (100)"},
		}},
	}
}

// maxLines is how many lines are shown at most.
const maxLines = 10_000

// LogQuery reads what a caller asked for, by the names of the flags of `app
// logs`; a switch is given by any value.
func LogQuery(ctx context.Context, p *platform.Platform, app string, value func(flag string) string) (hop3.LogQuery, error) {
	q := hop3.LogQuery{Lines: 100, Grep: value("grep"), Build: value("build") != "", Access: value("access") != "", Follow: value("follow") != ""}
	var err error
	if text := value("since"); text != "" {
		q.Lines = maxLines
		if q.Since, err = parseSince(text, time.Now()); err != nil {
			return q, err
		}
	}
	if value("since-deploy") != "" {
		deployed, err := p.LastDeploy(ctx, app)
		if err != nil {
			return q, err
		}
		if deployed.After(q.Since) {
			q.Since = deployed
		}
	}
	if text := value("lines"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return q, hop3.Errorf(hop3.CodeInvalid, "--lines wants a number of 1 or more, not %.40q", text)
		}
		q.Lines = min(n, maxLines)
	}
	if q.Access && q.Build {
		return q, hop3.Errorf(hop3.CodeInvalid, "--build and --access are two logs; ask for one of them")
	}
	if q.Access && value("type") != "" {
		return q, hop3.Errorf(hop3.CodeInvalid, "--access is one log for all instances; --grep '\"instance\":\"%.40s\"' chooses those of one", value("type"))
	}
	q.Type, q.Ordinal, err = parseInstance(value("type"))
	return q, err
}

// parseInstance reads "web" or "web.2".
func parseInstance(text string) (processType string, ordinal int, err error) {
	processType, number, dotted := strings.Cut(text, ".")
	if !dotted {
		return processType, 0, nil
	}
	if ordinal, err = strconv.Atoi(number); err != nil || ordinal < 1 {
		return "", 0, hop3.Errorf(hop3.CodeInvalid, "%.80q is no process type and no instance: those look like web and web.2", text)
	}
	return processType, ordinal, nil
}

var days = regexp.MustCompile(`^([0-9]{1,5})d(.*)$`)

// parseSince reads a time, or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, error) {
	ago, rest := time.Duration(0), text
	if m := days.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1]) // it has at most 5 digits
		ago, rest = time.Duration(n)*24*time.Hour, m[2]
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			d = -1
		}
		if ago += d; d < 0 {
			ago = -1
		}
	}
	if ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, hop3.Errorf(hop3.CodeInvalid, "--since wants a time, or how long ago it was, not %.80q", text).
		WithHint("For example 10m, 2h30m, 3d, 2026-11-24, \"2026-11-24 10:00\" or 2026-11-24T10:00:00Z.")
}

// logFlag is the value of a flag for LogQuery. A text may be empty, a switch
// not: it was given.
func (c *Call) logFlag(name string) string {
	if isSwitch := name == "follow" || name == "build" || name == "access" || name == "since-deploy"; isSwitch && c.Has(name) {
		return "true"
	}
	return c.Value(name)
}

func appLogs(ctx context.Context, c *Call) ([]api.Item, error) { return c.logs(ctx, false) }

func appBuildLogs(ctx context.Context, c *Call) ([]api.Item, error) { return c.logs(ctx, true) }

func (c *Call) logs(ctx context.Context, build bool) ([]api.Item, error) {
	q, err := LogQuery(ctx, c.Platform, c.App, c.logFlag)
	if err != nil {
		return nil, err
	}
	q.Build = q.Build || build
	if q.Follow {
		return nil, hop3.Errorf(hop3.CodeInvalid, "Logs are followed by a client that stays connected, not in one answer.").
			WithHint("Leave --follow out, or use ssh: `ssh -p <port> <host> logs -f --app <app>`.")
	}
	var lines []string
	err = c.Platform.Logs(ctx, c.App, q, func(line platform.LogLine) error {
		lines = append(lines, line.String())
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(lines) == 0 && c.Has("since-deploy"):
		return []api.Item{api.Text("No log entries found since last deployment.")}, nil
	case len(lines) == 0 && q.Build:
		return []api.Item{api.Text("No build logs found for '%s'. Has it been deployed?", c.App)}, nil
	case len(lines) == 0:
		return []api.Item{api.Text("No log entries found.")}, nil
	}
	return []api.Item{api.Text("%s", strings.Join(lines, "\n"))}, nil
}

// attachLogs writes the lines as they come, without colours where nobody asked
// for a terminal.
func attachLogs(ctx context.Context, c *Call, con Console) (exit int, err error) {
	q, err := LogQuery(ctx, c.Platform, c.App, c.logFlag)
	if err != nil {
		return 0, err
	}
	out, _ := con.Lines()
	err = c.Platform.Logs(ctx, c.App, q, func(line platform.LogLine) error {
		text := line.String()
		if con.Terminal == nil {
			text = api.Plain(text)
		}
		_, err := fmt.Fprintln(out, text)
		return err
	})
	return 0, err
}
