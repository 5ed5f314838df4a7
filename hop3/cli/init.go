package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// initialize writes a hop3.toml for the project it finds in a directory. At a
// terminal it asks for what it cannot know. It overwrites nothing.
func initialize(ctx context.Context, p *program, args []string) error {
	if len(args) > 0 && (args[0] == "--ssh" || strings.HasPrefix(args[0], "--ssh=")) {
		return exitf(api.ExitUsage, "A Hop3 server makes its first administrator itself, with the SSH keys of who started it.\nLog in by such a key: hop3 login --ssh HOST")
	}
	if len(args) > 1 || len(args) == 1 && strings.HasPrefix(args[0], "-") {
		return exitf(api.ExitUsage, "Usage: hop3 init [DIRECTORY] [--app NAME]")
	}
	dir, err := p.projectDir(args)
	if err != nil {
		return err
	}
	for _, name := range []string{"hop3.toml", filepath.Join("hop3", "hop3.toml")} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return alreadyThere(filepath.Join(dir, name))
		}
	}
	found := findProject(dir)
	name := firstOf(p.flags.app, nameOf(dir))
	if isTerminal(p.In) && isTerminal(p.Err) && !p.flags.noInput && !p.flags.yes && !p.flags.dryRun {
		fmt.Fprintf(p.Err, "%s: %s\n", dir, found.what)
		if name, err = p.askOr(ctx, "Name of the app", name); err != nil {
			return err
		}
		if !found.procfile {
			if found.start, err = p.askOr(ctx, "Command of its web process", found.start); err != nil {
				return err
			}
		}
	}
	return p.writeManifest(dir, name, found)
}

// askOr asks a question that has an answer already.
func (p *program) askOr(ctx context.Context, question, or string) (string, error) {
	if or != "" {
		question += " [" + or + "]"
	}
	answer, err := p.askLine(ctx, question+": ")
	return firstOf(strings.TrimSpace(answer), or), err
}
