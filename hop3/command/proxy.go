package command

import (
	"context"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

func proxyCommands() []Command {
	return []Command{
		{Name: "proxy show", Summary: "Show which proxy serves the apps, and how it is", Who: Admin, Run: proxyShow},
		{Name: "proxy check", Summary: "Say whether a proxy could serve all apps", Usage: "NAME", Who: Admin, Max: 1, Run: proxyCheck},
		{Name: "proxy set", Summary: "Let another proxy serve, without an interruption", Usage: "NAME", Who: Admin, Min: 1, Max: 1, Run: proxySet},
	}
}

func proxyShow(_ context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.ProxyStatus(c.Actor())
	if err != nil {
		return nil, err
	}
	items := []api.Item{api.Text("Proxy: %s", s.Name), api.Text("Apps: %d", s.Apps)}
	if s.Program != "" {
		items = append(items, api.Text("Program: %s, version %s, process %d", s.Program, s.Version, s.PID))
	}
	if s.Directory != "" {
		items = append(items, api.Text("Files: %s", s.Directory))
	}
	if !s.Running {
		items = append(items, api.Text("It does not run, and the server itself serves instead: %s", s.Trouble))
	}
	if len(s.Uncertified) > 0 {
		items = append(items, api.Text("Without a certificate so far: %s", strings.Join(s.Uncertified, ", ")))
	}
	return append(items, api.Text("There are: %s", strings.Join(s.Choices, ", "))), nil
}

func proxyCheck(ctx context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.ProxyStatus(c.Actor())
	if err != nil {
		return nil, err
	}
	name := s.Name
	if len(c.Args) > 0 {
		name = c.Args[0]
	}
	if err := c.Platform.CheckProxy(ctx, c.Actor(), name); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("%s can serve all %d apps.", name, s.Apps)}, nil
}

func proxySet(ctx context.Context, c *Call) ([]api.Item, error) {
	var out lines
	if err := c.Platform.SetProxy(ctx, c.Actor(), c.Args[0], &out); err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(), api.Summary("%s is the proxy.", c.Args[0])), nil
}
