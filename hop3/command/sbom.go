package command

import (
	"context"
	"fmt"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/sbom"
)

func sbomCommands() []Command {
	return []Command{{
		Name: "app sbom", Summary: "List the packages in a release, as CycloneDX", Usage: "[vN]",
		Who: Viewer, App: NeedsApp, Max: 1, Run: appSBOM,
	}}
}

func appSBOM(ctx context.Context, c *Call) ([]api.Item, error) {
	number := 0
	if len(c.Args) > 0 {
		n, err := releaseNumber(c.Args[0])
		if err != nil {
			return nil, err
		}
		number = n
	}
	r, trees, err := c.Platform.Contents(ctx, c.Actor(), c.App, number)
	if err != nil {
		return nil, err
	}
	packages, notes, err := sbom.Read(trees...)
	if err != nil {
		return nil, err
	}
	about := sbom.Subject{
		App: r.App, Version: fmt.Sprintf("v%d", r.Number), Commit: r.Commit, Toolchains: r.Artifact.Toolchains,
		Made: r.CreatedAt, Server: c.commands.server.Version,
	}
	if r.Artifact.Container != nil {
		about.Image = r.Artifact.Container.Image
	}
	text, err := sbom.CycloneDX(about, packages, notes)
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Text("%s", text)}, nil
}
