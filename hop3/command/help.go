package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

func helpCommands() []Command {
	return []Command{
		{Name: "help", Summary: "Show what there is, or how a command is used", Usage: "[command]", Who: Public, Max: Any,
			Flags: []Flag{{Name: "all", Help: "every command"}}, Run: help},
		{Name: "help commands", Summary: "The commands' names, for programs", Who: Public, Hidden: true, Run: helpNames,
			Flags: []Flag{{Name: "manual", Help: "with all that their pages say"}}},
		{Name: "version", Summary: "Show the server's version", Who: Public, Run: version},
	}
}

// nouns are the first words of commands that have a page of their own.
var nouns = map[string]string{
	"notify":  "Send notices of what happens somewhere",
	"network": "Named networks, which gates of firewalls are open to",
	"waf":     "Firewalls of apps",
	"app":     "Applications: list, inspect, start, stop, run",
	"auth":    "Tokens and who you are",
	"cert":    "Certificates of host names",
	"cron":    "What an app runs at certain times",
	"domain":  "Host names of an app",
	"env":     "Environment variables of an app",
	"git":     "Deploying by git push",
	"key":     "SSH keys that may push",
	"plugin":  "What is built into the server",
	"port":    "Fixed ports of the host that apps have",
	"system":  "The server itself",
	"team":    "Groups of users that apps belong to",
	"token":   "Tokens for programs",
	"user":    "Accounts",
	"addon":   "Databases and other services of apps",
	"preview": "Other branches, served for a while",
	"webhook": "Deploying when a git host says so",
}

// sections is the order of `hop3 help`. What is in none of them comes last.
var sections = []struct {
	title string
	names []string
}{
	{"DAILY OPERATIONS", []string{"deploy", "plan", "redeploy", "logs", "run", "status", "restart", "ps", "releases", "rollback"}},
	{"MANAGEMENT", []string{"app", "env", "cron", "domain", "preview", "webhook", "waf", "addon", "backup"}},
	{"ADMINISTRATION", []string{"user", "team", "key", "token", "auth", "system", "plugin", "port", "network"}},
	{"UTILITIES", []string{"help", "version", "git"}},
}

// addNouns makes each first word show the page of its commands.
func (c *Commands) addNouns() {
	for word, summary := range nouns {
		if c.byName[word] != nil {
			continue
		}
		row := Command{Name: word, noun: true, Summary: summary, Who: User, App: TakesApp, Max: Any, Lenient: true, Run: func(_ context.Context, call *Call) ([]api.Item, error) {
			if len(call.Args) > 0 {
				return nil, call.commands.unknown(append([]string{word}, call.Args...))
			}
			return []api.Item{api.Text("%s", call.commands.page(word))}, nil
		}}
		if word == "auth" {
			row.Who = Public
		}
		c.add(row)
	}
}

func help(_ context.Context, c *Call) ([]api.Item, error) {
	switch {
	case c.Has("all") && c.Extra.Verbosity >= 2:
		return []api.Item{api.Text("%s", c.commands.manual())}, nil
	case c.Has("all"):
		return []api.Item{api.Text("%s", c.commands.all())}, nil
	case len(c.Args) == 0:
		return []api.Item{api.Text("%s", c.commands.overview())}, nil
	}
	for n := len(c.Args); n > 0; n-- {
		if name := strings.Join(c.Args[:n], " "); c.commands.byName[name] != nil {
			return []api.Item{api.Text("%s", c.commands.page(name))}, nil
		}
	}
	name := strings.Join(c.Args, " ")
	items := []api.Item{api.Failure("Unknown command: %.80s", name)}
	if near := nearest(name, c.commands.visible()); len(near) > 0 {
		items = append(items, api.Text("Did you mean %s?", strings.Join(near, ", ")))
	}
	return append(items, api.Text("Use 'hop3 help --all' to see every command.")), nil
}

func helpNames(_ context.Context, c *Call) ([]api.Item, error) {
	var names []string
	for _, name := range c.commands.names {
		if !c.commands.byName[name].Hidden {
			names = append(names, name)
		}
	}
	said := map[string]any{"commands": names}
	if c.Has("manual") {
		said["manual"] = c.commands.manuals(names)
	}
	return []api.Item{api.Data(said)}, nil
}

// manuals describes commands for programs that write pages of them.
func (c *Commands) manuals(names []string) []map[string]any {
	aliases := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(c.byName)) {
		if cmd := c.byName[name]; cmd.Name != name {
			aliases[cmd.Name] = append(aliases[cmd.Name], name)
		}
	}
	var all []map[string]any
	for _, name := range names {
		cmd := c.byName[name]
		flags := []map[string]string{}
		for _, f := range cmd.Flags {
			flags = append(flags, map[string]string{"line": f.String(), "help": f.Help})
		}
		all = append(all, map[string]any{
			"name": cmd.Name, "summary": cmd.Summary, "line": cmd.Line(), "aliases": aliases[cmd.Name], "flags": flags,
		})
	}
	return all
}

func version(_ context.Context, c *Call) ([]api.Item, error) {
	return []api.Item{api.Text("hop3-server %s", c.commands.server.Version)}, nil
}

// overview is `hop3 help`. Clients look for its headings.
func (c *Commands) overview() string {
	var b strings.Builder
	b.WriteString("USAGE\n  $ hop3 <command> <args>\n")
	seen := map[string]bool{}
	section := func(title string, names []string) {
		var lines []string
		for _, name := range names {
			if cmd := c.byName[name]; cmd != nil && !cmd.Hidden && !seen[name] {
				seen[name] = true
				lines = append(lines, fmt.Sprintf("  %-16s %s\n", name, cmd.Summary))
			}
		}
		if len(lines) > 0 {
			fmt.Fprintf(&b, "\n%s\n%s", title, strings.Join(lines, ""))
		}
	}
	for _, s := range sections {
		section(s.title, s.names)
	}
	section("OTHER", slices.DeleteFunc(slices.Clone(c.names), func(n string) bool { return strings.Contains(n, " ") }))
	b.WriteString("\nUse 'hop3 help <command>' to learn about a command, 'hop3 help --all' to see all of them.")
	return b.String()
}

// all is `hop3 help --all`. Clients find its columns by the first bracket.
func (c *Commands) all() string {
	names := c.visible()
	width := 0
	for _, name := range names {
		width = max(width, len(name))
	}
	var b strings.Builder
	b.WriteString("ALL COMMANDS\n")
	for _, name := range names {
		cmd := c.byName[name]
		mark, summary := "[top]", cmd.Summary
		if first, _, more := strings.Cut(name, " "); more {
			mark = "[" + first + "]"
		}
		if name != cmd.Name {
			mark, summary = "[alias]", "→ "+cmd.Name
		}
		fmt.Fprintf(&b, "  %-*s %-10s %s\n", width, name, mark, summary)
	}
	return strings.TrimRight(b.String(), "\n")
}

// manual is the pages of all commands.
func (c *Commands) manual() string {
	var pages []string
	for _, name := range c.names {
		if !c.byName[name].Hidden {
			pages = append(pages, c.page(name))
		}
	}
	return strings.Join(pages, "\n\n")
}

// page is `hop3 help <name>`.
func (c *Commands) page(name string) string {
	cmd := c.byName[name]
	var b strings.Builder
	if name != cmd.Name {
		fmt.Fprintf(&b, "`%s` is an alias for `%s`.\n\n", name, cmd.Name)
	}
	fmt.Fprintf(&b, "hop3 %s — %s\n\nUSAGE\n  %s\n", cmd.Name, cmd.Summary, cmd.Line())
	var described []string
	for _, f := range cmd.Flags {
		described = append(described, fmt.Sprintf("  %-24s %s\n", f, f.Help))
	}
	if len(described) > 0 {
		fmt.Fprintf(&b, "\nOPTIONS\n%s", strings.Join(described, ""))
	}
	var below []string
	for _, other := range c.names {
		if o := c.byName[other]; !o.Hidden && strings.HasPrefix(other, cmd.Name+" ") {
			below = append(below, fmt.Sprintf("  %-28s %s\n", other, o.Summary))
		}
	}
	if len(below) > 0 {
		fmt.Fprintf(&b, "\nSUBCOMMANDS\n%s", strings.Join(below, ""))
	}
	if first, _, more := strings.Cut(cmd.Name, " "); more {
		fmt.Fprintf(&b, "\nPart of: hop3 %s namespace.\n", first)
	}
	return strings.TrimRight(b.String(), "\n")
}
