package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func configCommands() []Command {
	return []Command{
		{Name: "config", Summary: "What an app says of itself: hop3.toml, Procfile, app.json", Who: User, Max: Any, Lenient: true, Run: configPage},
		{Name: "config check", Summary: "Check an app's files, and show what would run", Who: User, Usage: "[PATH]", Max: 1, Run: configCheck},
		{Name: "config migrate procfile", Summary: "Write a Procfile as a hop3.toml", Who: User, Usage: "[PATH]", Max: 1, Run: configMigrate,
			Flags: []Flag{{Name: "dry-run", Help: "show it only"}}},
		{Name: "config schema", Summary: "Print the JSON Schema of hop3.toml, for editors", Who: User, Run: configSchema},
	}
}

func configPage(_ context.Context, c *Call) ([]api.Item, error) {
	if len(c.Args) > 0 {
		return nil, c.commands.unknown(append([]string{"config"}, c.Args...))
	}
	return []api.Item{api.Text("%s", c.commands.page("config"))}, nil
}

// uploaded gives the files that the client sent along to use.
func (c *Call) uploaded(ctx context.Context, use func(fs.FS) error) (err error) {
	upload := c.takeUpload()
	if upload == nil {
		return hop3.Errorf(hop3.CodeInvalid, "The files to look at did not come along.").
			WithHint("Call this with the hop3 client where the files are: it sends them.")
	}
	defer func() { err = errors.Join(err, closeUpload(upload)) }()
	dir, err := os.MkdirTemp("", "hop3-config-*")
	if err != nil {
		return fmt.Errorf("making a place for the files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := upload.CheckOut(ctx, dir); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the files: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return use(root.FS())
}

// configCheck answers with what is wrong, all of it, or with what would run.
func configCheck(ctx context.Context, c *Call) ([]api.Item, error) {
	var items []api.Item
	err := c.uploaded(ctx, func(files fs.FS) error {
		m, err := c.Platform.CheckConfig(files)
		if err != nil {
			return err
		}
		table := api.Table([]string{"What", "Count", "Runs"})
		row := func(what, count, runs string) { table.Rows = append(table.Rows, []any{what, count, runs}) }
		each := func(what string, commands []string) {
			for _, command := range commands {
				row(what, "once", shown(command))
			}
		}
		each("before the build", m.BeforeBuild)
		each("build", m.Build.Commands)
		each("after the build", m.AfterBuild)
		each("before the start", append(append([]string{}, m.BeforeRun...), m.Release...))
		for _, p := range m.Processes {
			count := strconv.Itoa(p.Count)
			if s := m.Scaling[p.Type]; s.Max > 0 {
				count = fmt.Sprintf("%d to %d", s.Min, s.Max)
			}
			row(p.Type, count, shown(p.Command))
		}
		each("after the first deploy", m.PostDeploy)
		for _, e := range m.Cron {
			row(e.Name, e.Schedule, shown(e.Command))
		}
		for _, w := range m.Warnings {
			items = append(items, api.Warning("%s", w))
		}
		for _, u := range m.Unsupported {
			items = append(items, api.Warning("[%s] has no effect on this server yet: %s", u.Section, u.Reason))
		}
		items = append(items, api.Success("OK"))
		if len(table.Rows) > 0 {
			items = append(items, table)
		}
		if len(m.Processes) == 0 {
			items = append(items, api.Text("No process is declared: the toolchain that recognises the app says what serves it."))
		}
		for _, v := range m.Volumes {
			kind := ""
			if v.Mounted() {
				kind = " (" + string(v.Kind) + ")"
			}
			items = append(items, api.Text("Volume %s%s is at %s.", v.Name, kind, v.Target))
		}
		for _, port := range m.Ports {
			items = append(items, api.Text("Port %s of the host is in $%s, for %s.", port, port.Variable(), port.Source))
		}
		for _, prefix := range slices.Sorted(maps.Keys(m.Static)) {
			items = append(items, api.Text("%s is served from %s.", prefix, m.Static[prefix]))
		}
		if len(m.Domains) > 0 {
			items = append(items, api.Text("Domains: %s.", strings.Join(m.Domains, ", ")))
		}
		return nil
	})
	if code := hop3.CodeOf(err); code == hop3.CodeInvalid || code == hop3.CodeDeploy || code == hop3.CodeConflict {
		return []api.Item{api.Failure("%s", hop3.MessageOf(err))}, nil
	}
	return items, err
}

func configMigrate(ctx context.Context, c *Call) ([]api.Item, error) {
	var text string
	err := c.uploaded(ctx, func(files fs.FS) error {
		procfile, err := fs.ReadFile(files, "Procfile")
		if err != nil {
			return hop3.Errorf(hop3.CodeInvalid, "There is no Procfile among the files that came along.")
		}
		text, err = c.Platform.MigrateProcfile(string(procfile))
		return err
	})
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Blob("hop3.toml", []byte(text))}, nil
}

func configSchema(_ context.Context, c *Call) ([]api.Item, error) {
	return []api.Item{api.Text("%s", strings.TrimSuffix(string(c.Platform.ConfigSchema()), "\n"))}, nil
}
