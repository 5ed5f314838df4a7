package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"sync"

	"github.com/abilian/hop3/hop3/api"
)

// events is `events`: without -f it is the server's command.
func events(ctx context.Context, p *program, args []string) error {
	since, args, err := option(args, "--since")
	if err != nil {
		return err
	}
	since = localTime(since)
	follow, rest := toggle(args, "-f", "--follow")
	if !follow {
		if since != "" {
			rest = append(rest, "--since", since)
		}
		if p.flags.json && (len(rest) == 0 || strings.HasPrefix(rest[0], "-")) {
			rest = append(rest, "--data")
		}
		return p.remote(ctx, append([]string{"events"}, rest...))
	}
	query := url.Values{}
	if p.flags.app != "" {
		query.Set("app", p.flags.app)
	}
	if since != "" {
		query.Set("since", since)
	}
	if err := followOptions(query, rest, []followOption{{"lines", "-n"}, {"kind", ""}}); err != nil {
		return err
	}
	return p.followEvents(ctx, query)
}

func (p *program) followEvents(ctx context.Context, query url.Values) error {
	c, err := p.connect()
	if err != nil {
		return err
	}
	lines := newBacklog()
	var shown sync.WaitGroup
	shown.Go(func() {
		for line := range lines.all {
			p.printer.line(line)
		}
	})
	err = c.FollowEvents(ctx, query, func(e api.Event) {
		line := api.EventLine(e)
		if p.flags.json {
			text, _ := json.Marshal(e) // strings and numbers always can be
			line = string(text)
		}
		lines.add(line)
	})
	lines.end()
	if ctx.Err() != nil {
		return ctx.Err() // without what is still to be shown
	}
	shown.Wait()
	return err
}
