package cli

import (
	"context"
	"io"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// plan sends a directory as deploy does, and shows what a deploy of it would
// do.
func plan(ctx context.Context, p *program, args []string) error {
	o, err := p.deployArgs(args)
	if err != nil {
		return err
	}
	if o.address != "" || o.canary != "" {
		return exitf(api.ExitUsage, "A plan is made of the files of a directory: hop3 plan [DIRECTORY] [-e KEY=VALUE]…")
	}
	app, err := p.resolveApp()
	if err != nil {
		return err
	}
	archive, err := packProject(o.dir, p.contextName())
	if err != nil {
		return err
	}
	defer archive.Close()
	c, err := p.connect()
	if err != nil {
		return err
	}
	if err := fits(ctx, c, o.dir, archive); err != nil {
		return err
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sending := p.uploading(archive)
	res, err := c.Call(ctx, []string{"plan", "--app", app}, p.deployExtra(o), &client.Archive{Content: sending, Size: archive.size})
	sending.end()
	if err != nil {
		return err
	}
	return p.show(res)
}
