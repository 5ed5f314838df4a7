package command

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

// addonTypeCommands are the commands of each type of addon that the server has.
func addonTypeCommands(providers []hop3.AddonProvider) []Command {
	var rows []Command
	for _, provider := range providers {
		rows = append(rows, commandsOf(provider)...)
	}
	return rows
}

func commandsOf(provider hop3.AddonProvider) []Command {
	kind := provider.Name()
	row := func(name, summary, usage string, min int, run func(context.Context, *Call, hop3.AddonID) ([]api.Item, error)) Command {
		return Command{Name: "addon " + kind + " " + name, Summary: summary, Usage: strings.TrimSpace("NAME " + usage), Who: User, Min: min, Max: min,
			Run: func(ctx context.Context, c *Call) ([]api.Item, error) {
				return run(ctx, c, hop3.AddonID{Type: kind, Name: c.Args[0]})
			}}
	}
	imports := row("import", "Replace all data by the input, or a file", "[FILE]", 1, addonImport)
	imports.Max = 2
	rows := []Command{row("credentials", "Show the variables that apps get, in the clear", "", 1, addonCredentials)}
	if _, ok := provider.(hop3.AddonDumper); ok {
		rows = append(rows,
			row("dump", "Write all data to a file on the server", "", 1, addonDump),
			row("restore", "Replace all data by a dump on the server", "FILE", 2, addonRestore),
			row("clone", "Make another addon with the same data", "NEW", 2, addonClone),
			row("export", "Write all data to the output", "", 1, addonExport),
			imports,
		)
	}
	if own, ok := provider.(hop3.AddonActions); ok {
		for _, act := range own.Actions() {
			rows = append(rows, actionRow(kind, act))
		}
	}
	return rows
}

// actionRow is the command of a provider's own action. Its arguments are the
// provider's to read.
func actionRow(kind string, act hop3.AddonAction) Command {
	c := Command{Name: "addon " + kind + " " + act.Name, Summary: act.Summary, Usage: strings.TrimSpace("NAME " + act.Usage), Who: User, Min: 1, Max: 1,
		Run: func(ctx context.Context, c *Call) ([]api.Item, error) {
			args := c.Args[1:]
			if text := c.Value("command"); text != "" {
				args = append([]string{text}, args...)
			}
			report, err := c.Platform.RunAddonAction(ctx, c.Actor(), hop3.AddonID{Type: kind, Name: c.Args[0]}, act.Name, args)
			return reportItems(report), err
		}}
	for _, alias := range act.Aliases {
		c.Aliases = append(c.Aliases, "addon "+kind+" "+alias)
	}
	if act.Usage != "" {
		c.Max = Any
		c.Flags = []Flag{{Name: "command", Value: "TEXT", Help: "in place of words"}}
	}
	return c
}

func reportItems(r hop3.AddonReport) []api.Item {
	var items []api.Item
	if len(r.Headers) > 0 {
		table := api.Table(r.Headers)
		for _, row := range r.Rows {
			cells := make([]any, len(row))
			for i, cell := range row {
				cells[i] = cell
			}
			table.Rows = append(table.Rows, cells)
		}
		items = append(items, table)
	}
	if r.Text != "" {
		items = append(items, api.Text("%s", r.Text))
	}
	return items
}

func addonCredentials(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	vars, err := c.Platform.AddonVariables(ctx, c.Actor(), id)
	if err != nil {
		return nil, err
	}
	table := api.Table([]string{"Variable", "Value"})
	for _, key := range vars.Keys() {
		table.Rows = append(table.Rows, []any{key, vars[key]})
	}
	return []api.Item{table}, nil
}

func addonDump(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	path, holds, err := c.Platform.DumpAddon(ctx, c.Actor(), id)
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Text("Dumped '%s' to %s.", id.Name, path), inventoryTable(holds), api.Summary("dumped %s.", id.Name)}, nil
}

func inventoryTable(holds hop3.Inventory) api.Item {
	table := api.Table([]string{"Holds", "Count"})
	names := make([]string, 0, len(holds))
	for name := range holds {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		table.Rows = append(table.Rows, []any{name, holds[name]})
	}
	return table
}

func addonRestore(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	if err := c.Platform.RestoreDump(ctx, c.Actor(), id, c.Args[1]); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("The data of '%s' are those of the dump.", id.Name), api.Summary("restored %s.", id.Name)}, nil
}

func addonClone(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	var out lines
	if err := c.Platform.CloneAddon(ctx, c.Actor(), id, c.Args[1], &out); err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(), api.Text("Addon '%s' holds what '%s' holds.", c.Args[1], id.Name), api.Summary("cloned %s to %s.", id.Name, c.Args[1])), nil
}

// maxExport is the largest answer: it is in memory several times.
const maxExport = 64 << 20

func addonExport(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	var content limitedBuffer
	name, _, err := c.Platform.ExportAddon(ctx, c.Actor(), id, &content)
	if content.full {
		return nil, hop3.Errorf(hop3.CodeInvalid, "The addon '%s' holds more than %d MB, too much for one answer.", id.Name, maxExport>>20).
			WithHint("`hop3 addon %s dump %s` writes it to a file on the server, and the client of this version takes any size.", id.Type, id.Name)
	}
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Blob(name, content.bytes)}, nil
}

// limitedBuffer holds up to maxExport bytes.
type limitedBuffer struct {
	bytes []byte
	full  bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if len(b.bytes)+len(p) > maxExport {
		b.full = true
		return 0, io.ErrShortWrite
	}
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}

func addonImport(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	if len(c.Args) > 1 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "This client sends no files: pipe it in, as in `hop3 addon %s import %s < FILE`.", id.Type, id.Name)
	}
	if c.Extra.Upload == nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "There is no input: name a file, as in `hop3 addon %s import %s FILE`, or pipe it in.", id.Type, id.Name)
	}
	dump, err := c.Extra.Upload.Content()
	if err != nil {
		return nil, err
	}
	defer func() { _ = dump.Close() }() // it was only read
	if err := c.Platform.ImportAddon(ctx, c.Actor(), id, dump); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("The data of '%s' are those of the input.", id.Name), api.Summary("imported into %s.", id.Name)}, nil
}
