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

// askedSize is the size of an upload from which on the server is asked first
// whether it takes that: it would say so only once it has come.
const askedSize = 1 << 20

// deploy packs a directory, sends it, and follows what the server does with
// it.
func deploy(ctx context.Context, p *program, args []string) error {
	o, err := p.deployArgs(args)
	if err != nil {
		return err
	}
	app, err := p.resolveApp()
	if err != nil {
		return err
	}
	p.printer.place = app
	if o.address != "" {
		return p.deployFrom(ctx, app, o)
	}
	if err := p.checkProject("deploy", o.dir, app); err != nil {
		return err
	}
	archive, err := packProject(o.dir, p.contextName())
	if err != nil {
		return err
	}
	defer archive.Close()
	if archive.deprecated {
		p.printer.talk("yellow", "Warning: "+hop3Ignore+" will not be read any more one day: put its patterns into [build].ignore of hop3.toml.")
	}
	if p.flags.dryRun {
		return p.showPlan(app, o.dir, archive)
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	if err := fits(ctx, c, o.dir, archive); err != nil {
		return err
	}
	if p.flags.verbosity > 0 && !p.flags.json {
		fmt.Fprintf(p.Err, "Deploying %s to '%s': %d files, %s\n", o.dir, app, len(archive.names), size(archive.size))
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sending := p.uploading(archive)
	res, err := c.Call(ctx, o.words(app), p.deployExtra(o),
		&client.Archive{Content: sending, Size: archive.size})
	sending.end()
	if err != nil {
		return err
	}
	return p.showOrFollow(ctx, c, res)
}

// fits returns an error when the server takes no upload of this size.
func fits(ctx context.Context, c *client.Client, dir string, archive *packed) error {
	most, err := mostOf(ctx, c, archive.size)
	if err != nil || most == 0 {
		return err
	}
	return exitf(api.ExitUsage, "The files of %s are too many for an upload: %s packed, at most %s.\nName what is not needed in [build].ignore of hop3.toml, or push with git; HOP3_MAX_ARCHIVE_SIZE of the server allows more.", dir, size(archive.size), size(most))
}

// mostOf returns how many bytes an upload may have, when this is more; else 0.
func mostOf(ctx context.Context, c *client.Client, size int64) (int64, error) {
	if size < askedSize {
		return 0, nil
	}
	most, err := c.MaxUpload(ctx)
	if err != nil || most == 0 || size <= most {
		return 0, err
	}
	return most, nil
}

// deployFrom has the server fetch a repository, and deploy it.
func (p *program) deployFrom(ctx context.Context, app string, o deployOptions) error {
	if p.flags.dryRun {
		return exitf(api.ExitUsage, "What a repository elsewhere would deploy, only the server can tell: --dry-run is for a directory.")
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	words := append(o.words(app), o.address)
	if o.branch != "" {
		words = append(words, "--branch", o.branch)
	}
	res, err := c.Call(ctx, words, p.deployExtra(o), nil)
	if err != nil {
		return err
	}
	return p.showOrFollow(ctx, c, res)
}

// deployOptions are what follows `hop3 deploy`.
type deployOptions struct {
	dir       string
	address   string // of a repository, in place of dir
	branch    string // of that
	canary    string // the flag --canary as it was given; "" without
	env       map[string]string
	streaming bool
}

func (o deployOptions) words(app string) []string {
	words := []string{"deploy", "--app", app}
	if !o.streaming {
		words = append(words, "--no-stream")
	}
	if o.canary != "" {
		words = append(words, o.canary)
	}
	return words
}

func (p *program) deployExtra(o deployOptions) api.Extra {
	return api.Extra{Verbosity: api.Verbosity(p.flags.verbosity), Streaming: o.streaming, Env: o.env}
}

func (p *program) deployArgs(args []string) (o deployOptions, err error) {
	noStream, args := toggle(args, "--no-stream")
	o = deployOptions{dir: p.dir, env: make(map[string]string), streaming: !noStream}
	var rest []string
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-e" || args[i] == "--env":
			if i++; i == len(args) {
				return o, exitf(api.ExitUsage, "%s needs KEY=VALUE", args[i-1])
			}
			k, v, ok := strings.Cut(args[i], "=")
			if !ok {
				return o, exitf(api.ExitUsage, "'%s' is not KEY=VALUE", args[i])
			}
			o.env[k] = v
		case args[i] == "--canary" || strings.HasPrefix(args[i], "--canary="):
			o.canary = args[i]
		case args[i] == "--branch" && i+1 < len(args):
			i++
			o.branch = args[i]
		default:
			rest = append(rest, args[i])
		}
	}
	switch {
	case len(rest) == 0 || strings.HasPrefix(rest[0], "-"):
	case isAddress(rest[0]):
		o.address, rest = rest[0], rest[1:]
	default:
		if o.dir, rest = rest[0], rest[1:]; !filepath.IsAbs(o.dir) {
			o.dir = filepath.Join(p.dir, o.dir)
		}
		if info, err := os.Stat(o.dir); err != nil || !info.IsDir() {
			return o, exitf(api.ExitUsage, "%s is not a directory", o.dir)
		}
		p.dir = o.dir // its own hop3.toml says which app it is
	}
	if o.branch != "" && o.address == "" {
		return o, exitf(api.ExitUsage, "--branch is for the URL of a repository")
	}
	return o, noMore(rest)
}

// isAddress reports whether a word is that of a repository elsewhere and not a
// directory: a URL, or user@host:path.
func isAddress(word string) bool {
	user, path, ok := strings.Cut(word, ":")
	return strings.Contains(word, "://") || ok && path != "" && strings.Contains(user, "@") && !strings.Contains(user, "/")
}

// followDeploy shows a deploy until its end. Whoever interrupts only stops
// watching.
func (p *program) followDeploy(ctx context.Context, c *client.Client, id string) error {
	done, err := p.watch(ctx, c, id)
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
	done, err := p.watch(ctx, c, id)
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

// watch prints what a stream of the server's tells until its end.
func (p *program) watch(ctx context.Context, c *client.Client, id string) (api.CompleteEvent, error) {
	b := p.bar()
	defer b.clear()
	show := func(l api.LogEvent) {
		b.clear()
		p.printer.item(api.Item{T: api.KindLog, Msg: l.Msg, Level: l.Level, Color: l.Color}, nil)
	}
	if b == nil {
		return c.FollowDeploy(ctx, id, show)
	}
	return c.FollowProgress(ctx, id, show, func(e api.ProgressEvent) { b.show(e.What, e.Done, e.Total) })
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
