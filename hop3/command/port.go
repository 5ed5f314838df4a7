package command

import (
	"context"

	"github.com/abilian/hop3/hop3/api"
)

func portCommands() []Command {
	return []Command{
		{Name: "port list", Aliases: []string{"ports"}, Summary: "List the fixed ports of the host that apps have", Who: User, Run: portList},
	}
}

// portList says "claimed" of every port: whether the firewall lets anybody in
// is not this server's to know.
func portList(ctx context.Context, c *Call) ([]api.Item, error) {
	claims, err := c.Platform.Ports(ctx, c.Actor())
	if err != nil {
		return nil, err
	}
	if len(claims) == 0 {
		return []api.Item{api.Text("No app has a fixed port of the host.")}, nil
	}
	table := api.Table([]string{"Port", "Proto", "App", "Source", "Firewall"})
	for _, claim := range claims {
		table.Rows = append(table.Rows, []any{claim.Number, claim.Protocol, claim.App, claim.Source, "claimed"})
	}
	return []api.Item{table}, nil
}
