package command

import (
	"context"

	"github.com/abilian/hop3/hop3/api"
)

func keyCommands() []Command {
	return []Command{
		{Name: "key add", Summary: "Let a public SSH key push", Who: Account, Usage: "PUBLIC-KEY", Min: 1, Max: Any, Run: keyAdd,
			Flags: []Flag{{Name: "user", Value: "USERNAME", Help: "whose key it is; yours if not said"}}},
		{Name: "key list", Aliases: []string{"keys"}, Summary: "List SSH keys", Who: Account, Run: keyList, Flags: []Flag{
			{Name: "user", Value: "USERNAME", Help: "whose"},
			{Name: "all", Help: "everybody's"},
		}},
		{Name: "key remove", Summary: "Take a key away", Who: Account, Usage: "FINGERPRINT", Min: 1, Max: 1, Run: keyRemove},
	}
}

func keyAdd(ctx context.Context, c *Call) ([]api.Item, error) {
	// A key is one argument, or three when its line was not quoted.
	line := c.Args[0]
	for _, more := range c.Args[1:] {
		line += " " + more
	}
	k, err := c.Platform.AddKey(ctx, c.Actor(), firstOf(c.Value("user"), c.User.Username), line)
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("Key %s added for %s.", k.Fingerprint, k.Username),
		api.Summary("added a key for %s.", k.Username),
	}, nil
}

func keyList(ctx context.Context, c *Call) ([]api.Item, error) {
	owner := firstOf(c.Value("user"), c.User.Username)
	if c.Has("all") {
		owner = ""
	}
	keys, err := c.Platform.Keys(ctx, c.Actor(), owner)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return []api.Item{api.Text("There are no keys. Add one with 'hop3 key add ~/.ssh/id_ed25519.pub'.")}, nil
	}
	table := api.Table([]string{"User", "Fingerprint", "Comment", "Added"})
	for _, k := range keys {
		table.Rows = append(table.Rows, []any{k.Username, k.Fingerprint, k.Comment, stamp(k.CreatedAt)})
	}
	return []api.Item{table}, nil
}

func keyRemove(ctx context.Context, c *Call) ([]api.Item, error) {
	k, err := c.Platform.RemoveKey(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("Key %s of %s removed.", k.Fingerprint, k.Username),
		api.Summary("removed a key of %s.", k.Username),
	}, nil
}
