package command

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func lifeCommands() []Command {
	return []Command{
		{Name: "app start", Summary: "Start a stopped app", Who: Deployer, App: NeedsApp, Run: appStart},
		{Name: "app stop", Summary: "Stop an app", Who: Deployer, App: NeedsApp, Run: appStop},
		{Name: "app restart", Aliases: []string{"restart"}, Summary: "Restart an app without dropping a request", Who: Deployer, App: NeedsApp, Run: appRestart},
		{Name: "app destroy", Aliases: []string{"destroy"}, Summary: "Remove an app with all it has", Who: Deployer, App: NeedsApp, Run: appDestroy},
		{Name: "app ping", Summary: "Ask an app for a page", Who: Viewer, Usage: "[PATH]", App: NeedsApp, Max: 1, Run: appPing},
	}
}

func appStart(ctx context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.AppStatus(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if s.App.Awake() && !s.Crashed {
		return []api.Item{api.Text("App '%s' is already running.", c.App)}, nil
	}
	var out lines
	start := c.Platform.StartApp
	if s.Crashed {
		start = c.Platform.RestartApp
	}
	if err := start(ctx, c.Actor(), c.App, &out); err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(), api.Text("App '%s' is running.", c.App), api.Summary("started %s.", c.App)), nil
}

func appStop(ctx context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.AppStatus(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if s.App.State == hop3.StateStopped {
		return []api.Item{api.Text("App '%s' is already stopped.", c.App)}, nil
	}
	var out lines
	if err := c.Platform.StopApp(ctx, c.Actor(), c.App, &out); err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(), api.Text("App '%s' is stopped.", c.App), api.Summary("stopped %s.", c.App)), nil
}

func appRestart(ctx context.Context, c *Call) ([]api.Item, error) {
	var out lines
	if err := c.Platform.RestartApp(ctx, c.Actor(), c.App, &out); err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(), api.Text("App '%s' restarted.", c.App), api.Summary("restarted %s.", c.App)), nil
}

func appDestroy(ctx context.Context, c *Call) ([]api.Item, error) {
	var out lines
	if err := c.Platform.DestroyApp(ctx, c.Actor(), c.App, &out); err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(), api.Text("App '%s' has been destroyed.", c.App), api.Summary("destroyed %s.", c.App)), nil
}

const pingTimeout = 10 * time.Second

func appPing(ctx context.Context, c *Call) ([]api.Item, error) {
	page := "/"
	if len(c.Args) == 1 {
		page = "/" + strings.TrimPrefix(c.Args[0], "/")
	}
	s, err := c.Platform.AppStatus(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if s.App.State != hop3.StateRunning || len(s.URLs) == 0 {
		return []api.Item{api.Text("App '%s' is not running.", c.App)}, nil
	}
	if s.App.Asleep { // nor is it to be woken by who only wants to know
		return []api.Item{api.Text("App '%s' is asleep. The next request from outside wakes it.", c.App)}, nil
	}
	req, err := pingRequest(ctx, s, page)
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%.80q is not a path", page)
	}
	client := &http.Client{
		Timeout:       pingTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	start := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return []api.Item{api.Failure("App '%s' does not answer", c.App), api.Text("%v", err)}, nil
	}
	defer resp.Body.Close()
	size, _ := io.Copy(io.Discard, io.LimitReader(resp.Body, maxOutput)) // a cut body still was an answer
	table := api.Table([]string{"Property", "Value"},
		[]any{"URL", s.URLs[0] + page},
		[]any{"Status", resp.Status},
		[]any{"Response Time", time.Since(start).Round(time.Millisecond).String()},
		[]any{"Content-Type", resp.Header.Get("Content-Type")},
		[]any{"Content-Length", size})
	if resp.StatusCode >= 400 {
		return []api.Item{api.Warning("App '%s' answers %s", c.App, resp.Status), table}, nil
	}
	return []api.Item{api.Success("App '%s' is responding", c.App), table}, nil
}

// pingRequest asks the app itself where it listens on this machine, and
// otherwise its public address.
func pingRequest(ctx context.Context, s platform.AppStatus, page string) (*http.Request, error) {
	base := s.LocalURL
	if base == "" {
		base = s.URLs[0]
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+page, nil)
	if err != nil {
		return nil, err
	}
	if len(s.Release.Hosts) > 0 {
		req.Host = s.Release.Hosts[0]
	}
	req.Header.Set("User-Agent", "hop3-ping/1.0")
	return req, nil
}
