package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// manual is a command as its page describes it.
type manual struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
	Line    string `json:"line"` // how it is written
	Aliases []string
	Flags   []struct{ Line, Help string }
}

// man writes the manual into a directory: a page for every command, of the
// server and of this client, and hop3.1 that lists them.
func man(ctx context.Context, p *program, args []string) error {
	if len(args) != 1 {
		return exitf(api.ExitUsage, "Usage: hop3 man DIRECTORY\nIt writes the pages there; then: man -l DIRECTORY/hop3.1")
	}
	pages, err := p.manuals(ctx)
	if err != nil {
		return err
	}
	dir := args[0]
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(p.dir, dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	write := func(name, text string) error {
		return os.WriteFile(filepath.Join(dir, name+".1"), []byte(text), 0o644)
	}
	for _, m := range pages {
		if err := write(manName(m.Name), m.roff()); err != nil {
			return err
		}
	}
	if err := write("hop3", manOverview(pages)); err != nil {
		return err
	}
	p.printer.item(api.Success("Wrote %d pages into %s. Read them: man -l %s", len(pages)+1, dir, filepath.Join(dir, "hop3.1")), nil)
	return nil
}

// manuals asks the server for its commands and adds those of the client, which
// go before the server's of the same name.
func (p *program) manuals(ctx context.Context) ([]manual, error) {
	c, err := p.connect()
	if err != nil {
		return nil, err
	}
	res, err := c.Call(ctx, []string{"help", "commands", "--manual"}, api.Extra{}, nil)
	if err != nil {
		return nil, err
	}
	var said struct{ Manual []manual }
	for _, item := range res.Items {
		if item.T != api.KindData {
			continue
		}
		text, err := json.Marshal(item.Data)
		if err == nil {
			err = json.Unmarshal(text, &said)
		}
		if err != nil {
			return nil, exitf(api.ExitGeneral, "The server's list of commands cannot be read: %v", err)
		}
	}
	byName := map[string]manual{}
	for _, m := range said.Manual {
		byName[m.Name] = m
	}
	for _, l := range locals() {
		m := byName[l.name]
		m.Name = l.name
		if m.Summary == "" {
			m.Summary = l.summary
		}
		m.Line = strings.TrimSpace("hop3 " + l.name + " " + l.usage)
		byName[l.name] = m
	}
	pages := make([]manual, 0, len(byName))
	for _, m := range byName {
		pages = append(pages, m)
	}
	slices.SortFunc(pages, func(a, b manual) int { return cmp.Compare(a.Name, b.Name) })
	return pages, nil
}

// manName is the name of a command's page: hop3-env-set.
func manName(command string) string { return "hop3-" + strings.ReplaceAll(command, " ", "-") }

// roffText escapes a text for roff, in which a leading dot or quote and every
// backslash mean something.
func roffText(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(clean(text))
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func manHead(name string) string {
	return fmt.Sprintf(".TH %s 1 \"\" \"Hop3 %s\" \"Hop3\"\n", strings.ToUpper(roffText(name)), Version)
}

// roff returns the page, in the macros of man(7).
func (m manual) roff() string {
	var b strings.Builder
	b.WriteString(manHead(manName(m.Name)))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roffText(manName(m.Name)), roffText(m.Summary))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roffText(m.Line))
	if len(m.Flags) > 0 {
		b.WriteString(".SH OPTIONS\n")
		for _, f := range m.Flags {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roffText(f.Line), roffText(f.Help))
		}
	}
	if len(m.Aliases) > 0 {
		fmt.Fprintf(&b, ".SH OTHER NAMES\n%s\n", roffText("hop3 "+strings.Join(m.Aliases, ", hop3 ")))
	}
	b.WriteString(".SH SEE ALSO\n.BR hop3 (1)\n")
	return b.String()
}

// manOverview is hop3.1.
func manOverview(pages []manual) string {
	var b strings.Builder
	b.WriteString(manHead("hop3"))
	b.WriteString(".SH NAME\nhop3 \\- deploy and run apps on a Hop3 server\n.SH SYNOPSIS\n.B hop3\n.I command\n[\\fIoptions\\fR]\n.SH COMMANDS\nEach has a page: \\fBhop3\\-env\\-set\\fR(1) is that of \\fBhop3 env set\\fR.\n")
	for _, m := range pages {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roffText(m.Name), roffText(m.Summary))
	}
	b.WriteString(".SH OPTIONS\nEvery command has these.\n")
	for _, f := range globalFlags {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roffText(f[0]), roffText(f[1]))
	}
	b.WriteString(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage, 3 not found, 4 not logged in, 5 not allowed, 6 conflict, 7 server or network, 8 failed deploy, 10 declined, 130 interrupted.\n")
	b.WriteString(".SH ENVIRONMENT\n")
	for _, v := range variables {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roffText(v[0]), roffText(v[1]))
	}
	return b.String()
}

// globalFlags are the options of every command, described.
var globalFlags = [][2]string{
	{"-a, --app NAME", "which app"},
	{"-c, --context NAME", "which server, by its name"},
	{"--why", "say how the app was found out, and stop"},
	{"-j, --json", "print what programs can read"},
	{"-y, --yes", "do not ask"},
	{"--confirm NAME", "confirm what destroys NAME"},
	{"--no-input", "never ask"},
	{"--dry-run", "only say what would be done"},
	{"-q, --quiet", "print errors and data only"},
	{"-v, --verbose", "print more; -vv prints all"},
	{"--no-pager", "show long output at once"},
	{"--no-alias", "take no alias of config.toml"},
}

// variables are those of the environment that the client looks at, described.
var variables = [][2]string{
	{"HOP3_API_URL", "the server's address"},
	{"HOP3_API_TOKEN", "the token, in place of the stored one"},
	{"HOP3_CONTEXT", "which server, by its name"},
	{"HOP3_APP", "which app"},
	{"HOP3_CONFIG_DIR", "where the settings and tokens are"},
	{"HOP3_NO_INPUT", "1: never ask"},
	{"HOP3_VERBOSITY", "0 to 3, as -q and -v say"},
	{"HOP3_PAGER, PAGER", "what shows long output at a terminal; cat for nothing"},
	{"NO_COLOR", "anything: no colours"},
}
