package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/stream"
)

// maxWords is how many words a command's name has at most.
const maxWords = 4

// Server is what the commands work on. All fields are required.
type Server struct {
	Platform *platform.Platform
	Streams  *stream.Hub
	Version  string
	// Plugins returns what is built in, for `plugin list`.
	Plugins func() []Plugin
}

// Plugin is a line of `plugin list`.
type Plugin struct{ Name, Provides string }

// Commands is the table. It is safe for concurrent use.
type Commands struct {
	server  Server
	started time.Time
	byName  map[string]*Command // by name and by alias
	names   []string            // sorted, without aliases
}

// New returns the table of all commands. It panics when two share a name, and
// when one does not say who may call it.
func New(s Server) *Commands {
	c := &Commands{server: s, started: time.Now(), byName: make(map[string]*Command)}
	for _, rows := range [][]Command{
		helpCommands(), appCommands(), checkCommands(), logCommands(), runCommands(), lifeCommands(), moveCommands(),
		deployCommands(), configCommands(), envCommands(), psCommands(), topCommands(), cronCommands(),
		releaseCommands(), diffCommands(), domainCommands(), certCommands(), httpCommands(),
		proxyCommands(), routeCommands(), gitCommands(), authCommands(), userCommands(), keyCommands(),
		portCommands(), systemCommands(), sourceCommands(), webhookCommands(), previewCommands(),
		wafCommands(), whyCommands(), teamCommands(), accessCommands(), tokenCommands(), eventCommands(),
		notifyCommands(), addonCommands(), addonTypeCommands(s.Platform.AddonTypes()), backupCommands(),
		debugCommands(), sbomCommands(), planCommands(), tunnelCommands(),
	} {
		for _, row := range rows {
			c.add(row)
		}
	}
	c.addNouns()
	c.names = slices.Sorted(maps.Keys(c.canonical()))
	return c
}

func (c *Commands) add(row Command) {
	switch needsApp := row.Who.role() != hop3.RoleNone || row.Who == Creator; {
	case row.Who == undeclared:
		panic(fmt.Sprintf("command: %q does not say who may call it", row.Name))
	case needsApp && row.App == NoApp:
		panic(fmt.Sprintf("command: %q wants a role on an app, and has none", row.Name))
	}
	for _, name := range append([]string{row.Name}, row.Aliases...) {
		if c.byName[name] != nil {
			panic(fmt.Sprintf("command: two commands are called %q", name))
		}
		c.byName[name] = &row
	}
}

// canonical returns the commands by their names, without aliases.
func (c *Commands) canonical() map[string]*Command {
	out := make(map[string]*Command)
	for _, cmd := range c.byName {
		out[cmd.Name] = cmd
	}
	return out
}

// Find returns the command with the longest name that args begin with, and the
// arguments that follow; nil when there is none. An --app between the words of
// a name, where the Python client puts it for `ps scale`, counts as behind it.
func (c *Commands) Find(args []string) (*Command, []string) {
	cmd, rest := c.longest(args)
	if cmd == nil || cmd.Program {
		return cmd, rest
	}
	n := appFlagLen(rest)
	if n == 0 {
		return cmd, rest
	}
	words := slices.Concat(args[:len(args)-len(rest)], rest[n:])
	if other, after := c.longest(words); other != nil && len(after) < len(rest)-n {
		return other, slices.Concat(rest[:n], after)
	}
	return cmd, rest
}

// AppNames returns the names, aliases too, of the commands that act on one app.
func (c *Commands) AppNames() []string {
	var names []string
	for name, cmd := range c.byName {
		if cmd.App == NeedsApp {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (c *Commands) longest(args []string) (*Command, []string) {
	for n := min(maxWords, len(args)); n > 0; n-- {
		if cmd := c.byName[strings.Join(args[:n], " ")]; cmd != nil {
			return cmd, args[n:]
		}
	}
	return nil, args
}

// Request is a command line with who sent it.
type Request struct {
	Args   []string
	User   *hop3.User // nil when nobody proved who they are
	Token  hop3.Token
	Source string // what logins are counted by
	// Address is where they come from: an IP address, or "local".
	Address string
	Extra   Extra
}

// Run runs a command line. It owns the uploaded archive from here on. Errors
// are hop3.Errors, some of them as a *Mistake.
func (c *Commands) Run(ctx context.Context, r Request) ([]api.Item, error) {
	call := c.newCall(r)
	defer func() {
		if a := call.takeUpload(); a != nil {
			_ = a.Close() // a file in the temporary directory
		}
	}()
	cmd, err := c.prepare(ctx, call, r)
	if err != nil {
		return nil, err
	}
	ctx = platform.As(ctx, call.Actor())
	items, err := cmd.Run(ctx, call)
	c.server.Platform.Revealed(ctx, call.App, call.revealed...)
	return items, call.explain(ctx, err)
}

func (c *Commands) newCall(r Request) *Call {
	return &Call{Token: r.Token, Source: r.Source, Address: r.Address, Extra: r.Extra, Platform: c.server.Platform, Streams: c.server.Streams, commands: c}
}

// prepare finds the command that is called and checks that this caller may
// call it, and does so rightly.
func (c *Commands) prepare(ctx context.Context, call *Call, r Request) (*Command, error) {
	if len(r.Args) == 0 {
		r.Args = []string{"help"}
	}
	cmd, rest := c.Find(r.Args)
	// Strangers do not learn what commands there are.
	if r.User == nil && (cmd == nil || cmd.Who != Public) {
		return nil, hop3.Errorf(hop3.CodeUnauthorized, "Authentication required. Use 'hop3 auth login' to authenticate.")
	}
	if cmd == nil {
		return nil, c.unknown(r.Args)
	}
	if r.User != nil {
		call.User = *r.User
	}
	if err := call.allowed(cmd); err != nil {
		return nil, err
	}
	if err := call.parse(cmd, rest); err != nil {
		return nil, err
	}
	return cmd, call.explain(ctx, call.authorize(ctx, cmd))
}

// allowed checks what a command takes that is not about an app.
func (c *Call) allowed(cmd *Command) error {
	who := c.Actor()
	switch {
	case cmd.Who == Admin && !who.Admin && c.User.Admin:
		return hop3.Errorf(hop3.CodeForbidden, "Admin privileges required, and this token does not have them")
	case cmd.Who == Admin && !who.Admin:
		return hop3.Errorf(hop3.CodeForbidden, "Admin privileges required")
	case cmd.Who == Account && who.Scope != nil:
		return hop3.Errorf(hop3.CodeForbidden, "This token may not manage an account.").
			WithHint("It takes a login, an SSH key, or a token of scope admin.")
	}
	return nil
}

// authorize checks the role on the app that the command, and the flags it was
// called with, take. The platform checks again.
func (c *Call) authorize(ctx context.Context, cmd *Command) error {
	if cmd.Who == Creator && c.App != "" {
		return c.Platform.AuthorizeCreate(ctx, c.Actor(), c.App)
	}
	need := cmd.Who.role()
	for _, f := range cmd.Flags {
		if c.Has(f.Name) {
			need = max(need, f.Who.role())
		}
	}
	if need == hop3.RoleNone || c.App == "" {
		return nil
	}
	return c.Platform.Authorize(ctx, c.Actor(), c.App, need)
}

// explain adds the names that may have been meant to an error about one that
// does not exist.
func (c *Call) explain(ctx context.Context, err error) error {
	if err != nil && c.App != "" && hop3.CodeOf(err) == hop3.CodeNotFound {
		return c.suggestApp(ctx, err)
	}
	return err
}

// Names returns the names of all commands that do something, without aliases.
func (c *Commands) Names() []string {
	return slices.DeleteFunc(slices.Clone(c.names), func(name string) bool { return c.byName[name].noun })
}
