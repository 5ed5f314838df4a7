package command

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func eventCommands() []Command {
	return []Command{
		{Name: "events", Summary: "Show what happened, who did it, and from where", Who: Viewer, App: TakesApp, Run: showEvents, Attach: attachEvents, Flags: []Flag{
			{Name: "lines", Short: "n", Value: "N", Help: "how many, the last ones (50; with --since all)"},
			{Name: "follow", Short: "f", Help: "go on with what happens"},
			{Name: "kind", Value: "KIND", Help: "only of this kind (deploy.failed), or all of a group (deploy)"},
			{Name: "since", Value: "TIME", Help: "only since: 10m, 2h30m, 3d, 2026-11-24 10:00 (UTC), or RFC 3339"},
			{Name: "data", Help: "as an object for programs, with all there is"},
		}},
		{Name: "events kinds", Summary: "List the kinds of event", Who: User, Run: eventKinds},
		{Name: "events verify", Summary: "Check that no event was altered or taken away", Who: Admin, Run: verifyEvents},
	}
}

// EventQuery reads what a caller asked for, by the names of the flags of
// `events`.
func EventQuery(app string, value func(flag string) string) (hop3.EventQuery, error) {
	q := hop3.EventQuery{App: app, Limit: 50}
	var err error
	if text := value("since"); text != "" {
		q.Limit = maxLines
		if q.Since, err = parseSince(text, time.Now()); err != nil {
			return q, err
		}
	}
	if text := value("kind"); text != "" {
		if q.Kind, err = hop3.ParseEventKind(text); err != nil {
			return q, err
		}
	}
	if text := value("lines"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return q, hop3.Errorf(hop3.CodeInvalid, "--lines wants a number of 1 or more, not %.40q", text)
		}
		q.Limit = min(n, maxLines)
	}
	return q, nil
}

func showEvents(ctx context.Context, c *Call) ([]api.Item, error) {
	q, err := EventQuery(c.App, c.Value)
	if err != nil {
		return nil, err
	}
	if c.Has("follow") {
		return nil, hop3.Errorf(hop3.CodeInvalid, "Events are followed by a client that stays connected, not in one answer.").
			WithHint("Leave --follow out, or use ssh: `ssh -p <port> <host> events -f`.")
	}
	events, err := c.Platform.Events(ctx, c.Actor(), q)
	if err != nil {
		return nil, err
	}
	if c.Has("data") {
		all := make([]api.Event, len(events))
		for i, e := range events {
			all[i] = api.EventOf(e)
		}
		return []api.Item{api.Data(map[string]any{"events": all})}, nil
	}
	if len(events) == 0 {
		return []api.Item{api.Text("No events found.")}, nil
	}
	table := api.Table([]string{"Time", "Actor", "From", "App", "Event", "Message"})
	for _, e := range events {
		table.Rows = append(table.Rows, []any{e.Time.UTC().Format(time.DateTime), or(e.Actor, "-"), or(e.Source, "-"), or(e.App, "-"), string(e.Kind), e.Message})
	}
	return []api.Item{table}, nil
}

// attachEvents writes the events as they come.
func attachEvents(ctx context.Context, c *Call, con Console) (exit int, err error) {
	if !c.Has("follow") {
		return 0, ErrNotAttached
	}
	q, err := EventQuery(c.App, c.Value)
	if err != nil {
		return 0, err
	}
	out, _ := con.Lines()
	return 0, c.Platform.FollowEvents(ctx, c.Actor(), q, func(e hop3.Event) error {
		_, err := fmt.Fprintln(out, api.EventLine(api.EventOf(e)))
		return err
	})
}

func eventKinds(context.Context, *Call) ([]api.Item, error) {
	table := api.Table([]string{"Event", "Severity", "Meaning"})
	for _, k := range hop3.EventKinds() {
		table.Rows = append(table.Rows, []any{string(k.Kind), k.Severity.String(), k.Meaning})
	}
	return []api.Item{table}, nil
}

func verifyEvents(ctx context.Context, c *Call) ([]api.Item, error) {
	chain, err := c.Platform.VerifyEvents(ctx, c.Actor())
	if err != nil {
		return nil, err
	}
	if chain.Last == 0 {
		return []api.Item{api.Text("There are no events.")}, nil
	}
	return []api.Item{api.Text("The events %d to %d are as they were stored.\nThe hash of the last one is %s.", chain.First, chain.Last, chain.Hash)}, nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
