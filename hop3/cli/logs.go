package cli

import (
	"context"
	"errors"
	"net/url"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// logs is `app logs`: without -f it is the server's command.
func logs(ctx context.Context, p *program, args []string) error {
	follow, rest := toggle(args, "-f", "--follow")
	if !follow {
		return p.remote(ctx, append([]string{"app", "logs"}, rest...))
	}
	query := url.Values{}
	var value string
	var err error
	for _, o := range []struct{ key, long, short string }{{"lines", "--lines", "-n"}, {"grep", "--grep", ""}, {"type", "--type", ""}} {
		if value, rest, err = option(rest, o.long, o.short); err != nil {
			return err
		}
		if value != "" {
			query.Set(o.key, value)
		}
	}
	if err := noMore(rest); err != nil {
		return err
	}
	app, err := p.resolveApp()
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	err = c.FollowLogs(ctx, app, query, func(line string) { p.printer.item(api.Text("%s", line), nil) })
	if lost := new(client.Unreachable); errors.As(err, &lost) && ctx.Err() == nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
