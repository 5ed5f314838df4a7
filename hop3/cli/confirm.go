package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// confirm asks before a command that destroys something. It asks the server
// first whether the caller is anybody, so that nobody answers in vain.
func (p *program) confirm(ctx context.Context, c *client.Client, words []string) error {
	name, n := match(dangerous, words)
	if n == 0 {
		return nil
	}
	target := target(words[n:])
	if _, err := c.Call(ctx, []string{"auth", "whoami"}, api.Extra{}, nil); err != nil {
		return err
	}
	switch {
	case p.flags.yes:
		return nil
	case p.flags.confirm != "" && p.flags.confirm == target:
		return nil
	case p.flags.confirm != "":
		return exitf(api.ExitDeclined, "--confirm says '%s', but it is '%s' that would go. Nothing was done.", p.flags.confirm, target)
	case p.flags.noInput || !isTerminal(p.In):
		return exitf(api.ExitDeclined, "'%s' %s. Confirm with --confirm %s, or --yes.", name, loss(name, target), target)
	}
	fmt.Fprintf(p.Err, "This %s. It cannot be undone.\n", loss(name, target))
	question, wanted := "Go on? [y/N] ", []string{"y", "Y", "yes"}
	if typed[name] {
		question, wanted = fmt.Sprintf("Type '%s' to confirm: ", target), []string{target}
	}
	answer, err := p.askLine(ctx, question)
	if err != nil {
		return err
	}
	if !slices.Contains(wanted, answer) {
		return exitf(api.ExitDeclined, "Nothing was done.")
	}
	return nil
}

// loss says what a destructive command does.
func loss(name, target string) string {
	switch words := strings.Fields(name); words[len(words)-1] {
	case "import", "restore":
		return fmt.Sprintf("replaces all that '%s' holds", target)
	case "flush":
		return fmt.Sprintf("deletes all that '%s' holds", target)
	}
	return fmt.Sprintf("destroys '%s' with all that belongs to it", target)
}

// target returns what a destructive command is about: the app, or the first
// argument.
func target(args []string) string {
	first := ""
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--app" && i+1 < len(args):
			return args[i+1]
		case !strings.HasPrefix(args[i], "-") && first == "":
			first = args[i]
		}
	}
	return first
}
