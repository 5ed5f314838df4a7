package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// local is a command of the client itself.
type local struct {
	name    string
	usage   string
	summary string
	run     func(ctx context.Context, p *program, args []string) error
}

// locals returns the table. Some have a server's command of the same name that
// they call.
func locals() []local {
	return []local{
		{"help", "[COMMAND]", "Show what there is, or how a command is used", help},
		{"version", "", "Show the client's version", version},
		{"login", "[URL[?token=T]] [--token T] [--username U [--password-stdin] [--code C]] [--ssh HOST] [--web]", "Log in to a server and remember it", login},
		{"auth login", "", "The same as login", login},
		{"logout", "", "Revoke the token and forget it", logout},
		{"auth logout", "", "The same as logout", logout},
		{"auth password", "[CURRENT NEW [CODE]] [--password-stdin] [--code C] [--tokens]", "Change your password; it asks for what you do not say", changePassword},
		{"deploy", "[DIRECTORY] [-e KEY=VALUE]… [--canary[=PERCENT for TIME]] [--no-stream]", "Deploy the files of a directory", deploy},
		{"plan", "[DIRECTORY] [-e KEY=VALUE]…", "Say what a deploy of a directory would do", plan},
		{"app plan", "[DIRECTORY] [-e KEY=VALUE]…", "The same as plan", plan},
		{"logs", logsUsage, "Show an app's logs; -f goes on with new ones", logs},
		{"app logs", logsUsage, "The same as logs", logs},
		{"events", eventsUsage, "Show what happened; -f goes on with what happens", events},
		{"run", runUsage, "Run a command in an app's environment; it reads this input and has this exit status", run},
		{"app run", runUsage, "The same as run", run},
		{"shell", shellUsage, "Open a shell in an app's environment", shell},
		{"app shell", shellUsage, "The same as shell", shell},
		{"config check", "[PATH]", "Check hop3.toml, Procfile and app.json, and show what would run", configCheck},
		{"config migrate procfile", "[PATH] [--dry-run]", "Write a Procfile as a hop3.toml", configMigrate},
		{"tunnel", "[ADDON] [--port N] [--type TYPE]", "Let a local port lead to an addon, or to a process of an app", tunnel},
		{"top", topUsage, "Watch the requests, memory and CPU of apps, or of an app's releases", top},
		{"app top", topUsage, "The same as top", top},
		{"tui", tuiUsage, "Show apps, logs and the server on the full screen", fullScreen},
		{"use", "APP | --clear", "Say which app this directory is about", use},
		{"settings", "", "The same as settings show", settingsShow},
		{"settings show", "", "Show the client's settings", settingsShow},
		{"settings get", "KEY", "Show one setting", settingsGet},
		{"settings set", "KEY VALUE", "Change one: server, token, ssl_cert, verify_ssl", settingsSet},
		{"context", "", "The same as context list", contextList},
		{"context list", "", "List the known servers by name", contextList},
		{"context add", "NAME URL", "Give a server a name", contextAdd},
		{"context use", "NAME", "Make it the one that is meant", contextUse},
		{"context show", "[NAME]", "Show one, and why it is the one that is meant", contextShow},
		{"context rename", "NAME NEW", "Give it another name", contextRename},
		{"context remove", "NAME", "Forget the name", contextRemove},
		{"aliases", "", "List the words that stand for a command", listAliases},
		{"completion", "bash|zsh|fish | --refresh | --status", "Print a shell's completion script", completion},
		{"open", "[--print]", "Open an app in a browser", openApp},
		{"ssh", "[COMMAND…]", "Open a shell, or run a command, in an app's environment by ssh", openSSH},
		{"init", "[DIRECTORY] [--dry-run]", "Write a hop3.toml for the project found, and ask what it cannot know", initialize},
		{"scaffold", "[DIRECTORY] [--dry-run]", "Write a first hop3.toml, and ask nothing", scaffold},
		{"man", "DIRECTORY", "Write the manual's pages", man},
	}
}

const (
	topUsage    = "[--app NAME] [-n/--lines N] [--interval SECONDS] [--once]"
	logsUsage   = "[-f/--follow] [-n/--lines N] [--since TIME] [--since-deploy] [--grep TEXT] [-p/--type PROCESS[.N]] [--build] [--access]"
	eventsUsage = "[-a/--app NAME] [-f/--follow] [-n/--lines N] [--since TIME] [--kind KIND]"
	runUsage    = "[-t/--tty | -T/--no-tty] [-i/--interactive] [--input TEXT] [--] COMMAND…"
	shellUsage  = "[--type PROCESS] [-T/--no-tty]"
)

func findLocal(words []string) (*local, []string) {
	table := locals()
	for n := min(3, len(words)); n > 0; n-- {
		name := strings.Join(words[:n], " ")
		if i := slices.IndexFunc(table, func(l local) bool { return l.name == name }); i >= 0 {
			return &table[i], words[n:]
		}
		if scoped[name] { // as `deploy cancel`, which deploys no directory of that name
			return nil, nil
		}
	}
	return nil, nil
}

// aliases are first words that stand for two.
var aliases = map[string]string{
	"apps": "app list", "addons": "addon list", "plugins": "plugin list", "ports": "port list",
	"networks": "network list", "whoami": "auth whoami", "keys": "key list",
}

// expandAlias replaces the first word when it is an alias, of ours or of the
// person's config.toml.
func (p *program) expandAlias(words []string) []string {
	if len(words) == 0 || p.flags.noAlias {
		return words
	}
	meaning := aliases[words[0]]
	if meaning == "" {
		if cmd, _ := findLocal(words); cmd != nil || scoped[words[0]] {
			return words
		}
		meaning = get(p.settings.config, "aliases", words[0])
	}
	if meaning == "" {
		return words
	}
	return append(strings.Fields(meaning), words[1:]...)
}

func version(_ context.Context, p *program, _ []string) error {
	p.printer.item(api.Text("hop3-cli %s", Version), nil)
	return nil
}

// help shows the page of a local command, else the server's page with the
// local commands below it.
func help(ctx context.Context, p *program, args []string) error {
	all, words := toggle(args, "--all")
	if cmd, rest := findLocal(words); cmd != nil && len(rest) == 0 && cmd.name != "help" {
		p.printer.item(api.Text("hop3 %s — %s\n\nUSAGE\n  hop3 %s %s", cmd.name, cmd.summary, cmd.name, cmd.usage), nil)
		return nil
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	res, err := c.Call(ctx, append([]string{"help"}, args...), api.Extra{Verbosity: api.Verbosity(p.flags.verbosity)}, nil)
	if gone := new(client.Unreachable); errors.As(err, &gone) {
		p.printer.talk("yellow", "⚠ "+gone.Error())
	} else if err != nil {
		return err
	}
	if len(words) > 0 && !all {
		return p.show(res)
	}
	var b strings.Builder
	b.WriteString("\nLOCAL COMMANDS")
	for _, l := range locals() {
		fmt.Fprintf(&b, "\n  %-16s %s", l.name, l.summary)
	}
	res.Items, res.Raw = append(res.Items, api.Text("%s", b.String())), append(res.Raw, nil)
	return p.show(res)
}

func use(_ context.Context, p *program, args []string) error {
	clear, args := toggle(args, "--clear")
	file := filepath.Join(p.dir, useFile)
	if clear {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		p.printer.item(api.Text("No app is chosen here any more."), nil)
		return noMore(args)
	}
	if len(args) == 0 && p.flags.app != "" {
		args = []string{p.flags.app}
	}
	if len(args) != 1 {
		return exitf(api.ExitUsage, "Usage: hop3 use APP | --clear")
	}
	if err := os.WriteFile(file, []byte(args[0]+"\n"), 0o644); err != nil {
		return err
	}
	p.printer.item(api.Text("This directory is about '%s' now.", args[0]), nil)
	return nil
}
