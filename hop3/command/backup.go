package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

// backupAs is of the commands that make a backup.
var backupAs = Flag{Name: "as", Value: "LABEL", Help: "what to call the backup of what there is now"}

func backupCommands() []Command {
	return []Command{
		{Name: "backup create", Summary: "Back up an app: source, data, volumes, variables, addons", Who: Deployer, App: NeedsApp, Run: backupCreate, Flags: []Flag{
			{Name: "no-addons", Help: "leave its addons out"},
			backupAs,
		}},
		{Name: "backup platform", Aliases: []string{"backup all", "backup create --all"}, Summary: "Back up the server's own database and every app", Who: Admin, Run: backupPlatform},
		{Name: "backup list", Summary: "List backups, the newest first", Who: User, App: TakesApp, Run: backupList, Flags: []Flag{
			{Name: "limit", Value: "N", Help: "how many (20)"},
		}},
		{Name: "backup show", Aliases: []string{"backup info"}, Summary: "Show a backup, and whether its files are whole", Who: User, Usage: "ID", Min: 1, Max: 1, Run: backupShow},
		{Name: "backup verify", Summary: "Restore a backup into a scratch place, for a proof", Who: User, Usage: "ID", Min: 1, Max: 1, Run: backupVerify},
		{Name: "backup restore", Summary: "Make an app what a backup says", Who: User, Usage: "ID", Min: 1, Max: 1, Run: backupRestore, Flags: []Flag{
			{Name: "target-app", Value: "NAME", Help: "another app, or a new one (the app of the backup)"},
			backupAs,
		}},
		{Name: "backup register", Summary: "Take in a backup made elsewhere", Who: Admin, Usage: "DIRECTORY|APP/ID", Min: 1, Max: 1, Run: backupRegister},
		{Name: "backup destroy", Aliases: []string{"backup delete"}, Summary: "Destroy a backup with all its copies", Who: User, Usage: "ID", Min: 1, Max: 1, Run: backupDestroy},
	}
}

// working answers a command that takes long, and goes on when its client
// leaves. A client that follows sees what is said as it is. What work returns
// is shown at the end.
func (c *Call) working(ctx context.Context, name string, work func(context.Context, hop3.Output) ([]api.Item, error)) ([]api.Item, error) {
	if c.Extra.Streaming {
		return c.followed(name, work)
	}
	type result struct {
		items []api.Item
		err   error
	}
	var out lines
	ended := make(chan result, 1)
	started := c.Platform.Go(name, func(ctx context.Context) {
		r := result{err: hop3.Errorf(hop3.CodeInternal, "It ended unexpectedly; the server's log says more.")}
		defer func() { ended <- r }() // also when it panics
		r.items, r.err = work(ctx, &out)
	})
	if !started {
		return nil, shuttingDown()
	}
	select {
	case r := <-ended:
		if r.err != nil {
			return nil, out.failed(r.err)
		}
		return r.items, nil
	case <-ctx.Done():
		return nil, hop3.Errorf(hop3.CodeCanceled, "Nobody waits any more. It goes on on the server: `hop3 backup list` and `hop3 events` say what becomes of it.")
	}
}

func shuttingDown() error {
	return hop3.Errorf(hop3.CodeUnavailable, "The server is shutting down. Try again in a moment.")
}

func (c *Call) followed(name string, work func(context.Context, hop3.Output) ([]api.Item, error)) ([]api.Item, error) {
	log := c.Streams.New(c.App, c.User.Username)
	started := c.Platform.Go(name, func(ctx context.Context) {
		success, why := false, "It ended unexpectedly; the server's log says more."
		defer func() { log.Finish(success, why) }() // also when it panics
		items, err := work(ctx, log)
		if err != nil {
			why = hop3.MessageOf(err)
			return
		}
		for _, i := range items {
			if i.T == api.KindText {
				for line := range strings.SplitSeq(i.Text, "\n") {
					log.Log(hop3.LogLine{Text: line})
				}
			}
		}
		success, why = true, ""
	})
	if !started {
		log.Finish(false, "The server is shutting down.")
		return nil, shuttingDown()
	}
	return []api.Item{api.Stream(log.ID)}, nil
}

func backupCreate(ctx context.Context, c *Call) ([]api.Item, error) {
	req := platform.BackupRequest{App: c.App, Label: c.Value(backupAs.Name), NoAddons: c.Has("no-addons")}
	return c.working(ctx, "backup "+c.App, func(ctx context.Context, out hop3.Output) ([]api.Item, error) {
		req.Out = out
		b, err := c.Platform.CreateBackup(ctx, c.Actor(), req)
		if err != nil {
			return nil, err
		}
		return []api.Item{
			api.Text("Backup created.\n%s", describeBackup(b)),
			api.Summary("backed up %s: %s.", b.App, b.ID),
		}, nil
	})
}

func backupPlatform(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.working(ctx, "backup", func(ctx context.Context, out hop3.Output) ([]api.Item, error) {
		all, err := c.Platform.BackupPlatform(ctx, c.Actor(), out)
		if err != nil {
			return nil, err
		}
		var ids strings.Builder
		for _, b := range all {
			fmt.Fprintf(&ids, "\nBackup ID: %s  %s, %s", b.ID, or(b.App, "the server's database"), platform.FormatBytes(b.Size))
		}
		return []api.Item{api.Text("Backed up the server and %d apps.%s", len(all)-1, ids.String()), api.Summary("backed up the server and %d apps.", len(all)-1)}, nil
	})
}

// describeBackup is what there is to know of a backup, a line each.
func describeBackup(b hop3.Backup) string {
	var s strings.Builder
	line := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(&s, "\n%s: %s", name, text)
		}
	}
	line("Backup ID", "%s", b.ID)
	line("App", "%s", or(b.App, "(the server's own database)"))
	line("Label", "%s", b.Label)
	line("Status", "%s", b.State)
	line("Error", "%s", oneLine(b.Error))
	line("Created", "%s, %s", stamp(b.CreatedAt), b.Kind)
	line("Size", "%s in %d files", platform.FormatBytes(b.Size), b.Files)
	if b.Release > 0 {
		line("Release", "v%d %.8s", b.Release, b.Commit)
	}
	line("Services", "%s", services(b))
	if b.Encrypted {
		line("Encrypted", "yes, all but the metadata")
	}
	line("Location", "%s", b.Dir)
	line("Copy", "%s", b.Remote)
	line("Proven", "%s", proven(b))
	return strings.TrimPrefix(s.String(), "\n")
}

func services(b hop3.Backup) string {
	var all []string
	for _, a := range b.Addons {
		all = append(all, a.Type+":"+a.Name)
	}
	return strings.Join(all, ", ")
}

// proven says when a backup was restored for a proof, and what came of it.
func proven(b hop3.Backup) string {
	switch {
	case b.Proof != "" && !b.ProvenAt.IsZero():
		return stamp(b.ProvenAt) + "; the last proof failed: " + oneLine(b.Proof)
	case b.Proof != "":
		return "no: " + oneLine(b.Proof)
	}
	return or(stamp(b.ProvenAt), "not yet")
}

func backupList(ctx context.Context, c *Call) ([]api.Item, error) {
	limit, err := c.number("limit", 20, 10_000)
	if err != nil {
		return nil, err
	}
	all, err := c.Platform.BackupList(ctx, c.Actor(), c.App, limit)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return []api.Item{api.Text("There are no backups. `hop3 backup create --app NAME` makes one.")}, nil
	}
	table := api.Table([]string{"Backup ID", "App", "Size", "Created", "Status", "Services", "Place", "Proven", "Label"})
	for _, b := range all {
		proof := or(stamp(b.ProvenAt), "-")
		if b.Proof != "" {
			proof = "failed"
		}
		table.Rows = append(table.Rows, []any{b.ID, or(b.App, "(server)"), platform.FormatBytes(b.Size), stamp(b.CreatedAt), string(b.State), or(services(b), "-"), place(b), proof, b.Label})
	}
	return []api.Item{table}, nil
}

// place says where a backup is.
func place(b hop3.Backup) string {
	switch {
	case b.State == hop3.BackupFailed || b.State == hop3.BackupStarted:
		return "-"
	case b.Remote != "" && b.Dir != "":
		return "server, copy"
	case b.Remote != "":
		return "copy"
	}
	return "server"
}

func backupShow(ctx context.Context, c *Call) ([]api.Item, error) {
	id, err := c.Platform.FindBackup(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	b, m, trouble, err := c.Platform.BackupDetails(ctx, c.Actor(), id)
	if err != nil {
		return nil, err
	}
	text := describeBackup(b)
	for _, v := range m.Volumes {
		text += "\nVolume: " + v.Name
	}
	if m.EnvCount > 0 {
		text += fmt.Sprintf("\nVariables: %d", m.EnvCount)
	}
	items := []api.Item{}
	switch {
	case trouble != nil:
		items = append(items, api.Text("%s\nFiles: damaged", text), api.Failure("%s", oneLine(hop3.MessageOf(trouble))))
	case b.Dir != "":
		items = append(items, api.Text("%s\nFiles: all checksums are right", text))
	default:
		items = append(items, api.Text("%s", text))
	}
	return items, nil
}

func backupVerify(ctx context.Context, c *Call) ([]api.Item, error) {
	id, err := c.Platform.FindBackup(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	return c.working(ctx, "backup verify", func(ctx context.Context, out hop3.Output) ([]api.Item, error) {
		b, err := c.Platform.VerifyBackup(ctx, c.Actor(), id, out)
		if err != nil {
			return nil, err
		}
		return []api.Item{api.Text("The backup %s was restored into a scratch place, and holds what was saved.", b.ID), api.Summary("proved %s.", b.ID)}, nil
	})
}

func backupRestore(ctx context.Context, c *Call) ([]api.Item, error) {
	id, err := c.Platform.FindBackup(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	req := platform.RestoreRequest{Backup: id, Target: c.Value("target-app"), Label: c.Value(backupAs.Name)}
	return c.working(ctx, "backup restore", func(ctx context.Context, out hop3.Output) ([]api.Item, error) {
		req.Out = out
		r, err := c.Platform.RestoreBackup(ctx, c.Actor(), req)
		if err != nil {
			return nil, err
		}
		what := fmt.Sprintf("The backup %s was restored", id)
		if r.Number > 0 {
			what += fmt.Sprintf(" to '%s', and v%d serves", r.App, r.Number)
		}
		return []api.Item{api.Text("%s.", what), api.Summary("restored %s.", id)}, nil
	})
}

func backupRegister(ctx context.Context, c *Call) ([]api.Item, error) {
	b, err := c.Platform.RegisterBackup(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Text("Backup registered.\n%s", describeBackup(b)), api.Summary("registered %s.", b.ID)}, nil
}

func backupDestroy(ctx context.Context, c *Call) ([]api.Item, error) {
	id, err := c.Platform.FindBackup(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	if err := c.Platform.DestroyBackup(ctx, c.Actor(), id); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("The backup %s is destroyed.", id), api.Summary("destroyed %s.", id)}, nil
}
