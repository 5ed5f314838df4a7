package command

import (
	"context"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func webhookCommands() []Command {
	return []Command{
		{Name: "webhook create", Summary: "Let a git host say when to deploy", Who: Deployer, App: NeedsApp, Run: webhookCreate},
		{Name: "webhook show", Summary: "Show an app's webhook", Who: Deployer, App: NeedsApp, Run: webhookShow},
		{Name: "webhook rotate", Summary: "Give a webhook another secret", Who: Deployer, App: NeedsApp, Run: webhookRotate},
		{Name: "webhook remove", Summary: "Take no messages for an app any more", Who: Deployer, App: NeedsApp, Run: webhookRemove},
		{Name: "webhook log", Summary: "Show what git hosts said and what came of it", Who: Viewer, App: NeedsApp, Run: webhookLog,
			Flags: []Flag{{Name: "lines", Short: "n", Value: "N", Help: "how many (20)"}}},
	}
}

func webhookCreate(ctx context.Context, c *Call) ([]api.Item, error) { return c.setWebhook(ctx, false) }

func webhookRotate(ctx context.Context, c *Call) ([]api.Item, error) { return c.setWebhook(ctx, true) }

func (c *Call) setWebhook(ctx context.Context, replace bool) ([]api.Item, error) {
	w, err := c.Platform.SetWebhook(ctx, c.Actor(), c.App, replace)
	if err != nil {
		return nil, err
	}
	verb := "created"
	if replace {
		verb = "rotated"
	}
	return []api.Item{
		api.Text("URL:    %s", c.Platform.WebhookURL(c.App, w)),
		api.Text("Secret: %s", w.Secret),
		api.Text("The secret is shown this once. Enter both at GitHub, GitLab, Gitea or Forgejo, for pushes, as application/json."),
		api.Summary("%s the webhook of %s.", verb, c.App),
	}, nil
}

func webhookShow(ctx context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.AppStatus(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if s.App.Webhook == nil {
		return []api.Item{api.Text("App '%s' has no webhook. 'hop3 webhook create --app %s' makes one.", c.App, c.App)}, nil
	}
	items := []api.Item{api.Table([]string{"Property", "Value"},
		[]any{"URL", c.Platform.WebhookURL(c.App, *s.App.Webhook)},
		[]any{"Secret since", stamp(s.App.Webhook.CreatedAt)},
		[]any{"Source", hop3.RedactRepoURL(s.App.Source)},
		[]any{"Branch", s.App.DeployBranch})}
	last, err := c.deliveries(ctx, 5)
	return append(items, last...), err
}

func webhookRemove(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.RemoveWebhook(ctx, c.Actor(), c.App); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("App '%s' has no webhook any more.", c.App), api.Summary("removed the webhook of %s.", c.App)}, nil
}

func webhookLog(ctx context.Context, c *Call) ([]api.Item, error) {
	n, err := c.number("lines", 20, 1000)
	if err != nil {
		return nil, err
	}
	items, err := c.deliveries(ctx, n)
	if err == nil && len(items) == 0 {
		items = []api.Item{api.Text("No git host has said anything to '%s' yet.", c.App)}
	}
	return items, err
}

// deliveries returns a table of the last messages, nothing when there is none.
func (c *Call) deliveries(ctx context.Context, n int) ([]api.Item, error) {
	all, err := c.Platform.Deliveries(ctx, c.Actor(), c.App, n)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	table := api.Table([]string{"Received", "From", "Event", "Branch", "Commit", "Status", "Note"})
	for _, d := range all {
		table.Rows = append(table.Rows, []any{
			stamp(d.Received), d.Host, d.Kind, strings.TrimPrefix(d.Ref, "refs/heads/"), short(d.Commit), string(d.Status), oneLine(d.Note),
		})
	}
	return []api.Item{table}, nil
}
