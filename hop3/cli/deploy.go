package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// maxArchive is what fits into a request once it is in base64.
const maxArchive = api.MaxBody/4*3 - 1<<20

// deploy packs a directory, sends it, and follows what the server does with
// it.
func deploy(ctx context.Context, p *program, args []string) error {
	dir, env, streaming, err := p.deployArgs(args)
	if err != nil {
		return err
	}
	app, err := p.resolveApp()
	if err != nil {
		return err
	}
	p.printer.place = app
	archive, err := packProject(dir)
	if err != nil {
		return err
	}
	defer archive.Close()
	if p.flags.dryRun {
		return p.showPlan(app, dir, archive)
	}
	if archive.size > maxArchive {
		return exitf(api.ExitUsage, "The files of %s are too many for an upload: %d MB packed, at most %d.\nName what is not needed in [build].ignore of hop3.toml, or push with git.", dir, archive.size>>20, int64(maxArchive)>>20)
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	if p.flags.verbosity > 0 && !p.flags.json {
		fmt.Fprintf(p.Err, "Deploying %s to '%s': %d files, %s\n", dir, app, len(archive.names), size(archive.size))
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	words := []string{"deploy", "--app", app}
	if !streaming {
		words = append(words, "--no-stream")
	}
	res, err := c.Call(ctx, words, api.Extra{Verbosity: api.Verbosity(p.flags.verbosity), Streaming: streaming, Env: env},
		&client.Archive{Content: archive, Size: archive.size})
	if err != nil {
		return err
	}
	return p.showOrFollow(ctx, c, res)
}

func (p *program) deployArgs(args []string) (dir string, env map[string]string, streaming bool, err error) {
	noStream, args := toggle(args, "--no-stream")
	env = make(map[string]string)
	dir = p.dir
	var rest []string
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-e" || args[i] == "--env":
			if i++; i == len(args) {
				return "", nil, false, exitf(api.ExitUsage, "%s needs KEY=VALUE", args[i-1])
			}
			k, v, ok := strings.Cut(args[i], "=")
			if !ok {
				return "", nil, false, exitf(api.ExitUsage, "'%s' is not KEY=VALUE", args[i])
			}
			env[k] = v
		default:
			rest = append(rest, args[i])
		}
	}
	if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		dir, rest = rest[0], rest[1:]
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(p.dir, dir)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return "", nil, false, exitf(api.ExitUsage, "%s is not a directory", dir)
		}
		p.dir = dir // its own hop3.toml says which app it is
	}
	return dir, env, !noStream, noMore(rest)
}

// followDeploy shows a deploy until its end. Whoever interrupts only stops
// watching.
func (p *program) followDeploy(ctx context.Context, c *client.Client, id string) error {
	done, err := c.FollowDeploy(ctx, id, func(l api.LogEvent) {
		p.printer.item(api.Item{T: api.KindLog, Msg: l.Msg, Level: l.Level, Color: l.Color}, nil)
	})
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(p.Err, "\nNot followed any more. The deployment goes on on the server.")
		return ctx.Err()
	case err != nil:
		return exitf(api.ExitDeploy, "The deployment could not be followed to its end: %v", err)
	case !done.Success:
		p.printer.item(api.Failure("%s", firstOf(done.Error, "Deployment failed")), nil)
		return exit{code: api.ExitDeploy}
	}
	p.printer.item(api.Success("%s in %.1fs", firstOf(done.Message, "App deployed successfully"), done.Duration), nil)
	return nil
}

// follow shows what the server does after a change that is done. Whoever
// interrupts only stops watching.
func (p *program) follow(ctx context.Context, c *client.Client, id string) error {
	done, err := c.FollowDeploy(ctx, id, func(l api.LogEvent) {
		p.printer.item(api.Item{T: api.KindLog, Msg: l.Msg, Level: l.Level, Color: l.Color}, nil)
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return exitf(api.ExitNetwork, "The server could not be followed to the end: %v", err)
	case !done.Success:
		p.printer.item(api.Failure("%s", done.Error), nil)
		return exit{code: api.ExitGeneral}
	}
	return nil
}

// showPlan is deploy --dry-run.
func (p *program) showPlan(app, dir string, a *packed) error {
	server, err := p.server()
	if err != nil {
		return err
	}
	p.printer.item(api.Text("Would deploy %s to '%s' on %s: %d files, %s packed", dir, app, server, len(a.names), size(a.size)), nil)
	for _, name := range a.names {
		p.printer.item(api.Text("  %s", name), nil)
	}
	return nil
}

func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

// Close deletes the archive's file.
func (a *packed) Close() error {
	return errors.Join(a.File.Close(), os.Remove(a.Name()))
}
