// Package command is the commands of `hop3 …`: a table of rows, each a name
// and a plain function over the platform. A file holds the commands of one
// noun and begins with their rows.
package command

import (
	"context"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/archive"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/stream"
)

// Command is a row of the table.
type Command struct {
	Name    string   // one to four words: "app status"
	Aliases []string // other names: "status"
	Summary string   // one line for the lists
	Usage   string   // what follows the name: "KEY=VALUE…"
	Who     Who
	App     AppUse
	Hidden  bool // not in the lists
	noun    bool // only shows the page of the commands that begin with it
	Flags   []Flag
	Min     int // positional arguments, at least
	Max     int // and at most; Any for no limit
	// Program says that what follows the flags is another program's command
	// line: nothing behind its first word is ours.
	Program bool
	// Lenient says that unknown arguments are ignored, because clients send
	// their own.
	Lenient bool
	Run     func(ctx context.Context, c *Call) ([]api.Item, error)
	// Attach is Run for a caller who is there while the command runs; nil for
	// the commands that gain nothing by that. It returns an exit code.
	Attach func(ctx context.Context, c *Call, con Console) (exit int, err error)
}

// SSH is the Source of who comes by SSH.
const SSH = "ssh"

// Any is a Max without limit.
const Any = -1

// Who says what a command, or a flag of one, takes. A row that does not say it
// is refused: see New.
type Who int

// What it may take.
const (
	undeclared Who = iota
	// Public is for strangers, too.
	Public
	// User is for everybody who has an account; what they see is theirs.
	User
	// Account is for who manages their own account: a user who logged in, not
	// the bearer of a token that was narrowed.
	Account
	// Viewer, Deployer and Keeper have that role, the last one RoleAdmin, on
	// the app the command is about.
	Viewer
	Deployer
	Keeper
	// Creator is a Deployer of the app, or, when there is none, who may make
	// it: the platform decides.
	Creator
	// Admin administers the server.
	Admin
)

var whoNames = [...]string{"undeclared", "public", "user", "account", "viewer", "deployer", "keeper", "creator", "admin"}

// String returns the name.
func (w Who) String() string { return whoNames[w] }

// role returns the role on the app that is checked before the command runs.
func (w Who) role() hop3.Role {
	return map[Who]hop3.Role{Viewer: hop3.RoleViewer, Deployer: hop3.RoleDeployer, Keeper: hop3.RoleAdmin}[w]
}

// AppUse says what a command does with --app.
type AppUse int

// The uses of --app.
const (
	NoApp AppUse = iota
	NeedsApp
	TakesApp // may be left out
)

// Flag is an option of a command.
type Flag struct {
	Name  string // "lines"
	Short string // "n"
	Value string // "N"; empty for a switch
	// Optional says that the value may be left out; given, it is behind a "=".
	Optional bool
	Help     string
	Who      Who // what it takes beyond its command: Deployer, or nothing
}

// Call is one call of a command.
type Call struct {
	App      string
	Args     []string // positional arguments
	User     hop3.User
	Token    hop3.Token
	Source   string // what the caller's logins are counted by
	Address  string // the caller's address, see hop3.Event
	Extra    Extra
	Platform *platform.Platform
	Streams  *stream.Hub

	revealed []string // the keys whose values were shown that are hidden otherwise
	flags    map[string][]string
	commands *Commands
}

// Extra is what came beside the command line.
type Extra struct {
	Verbosity int
	Streaming bool
	Env       hop3.Env
	Upload    *archive.Archive
}

// Actor returns the caller as the platform knows them.
func (c *Call) Actor() platform.Actor {
	who := ActorOf(c.User, c.Token)
	who.Source = c.Address
	return who
}

// ActorOf returns a user as the platform knows them, who came with a token, or
// without one when its ID is "".
func ActorOf(u hop3.User, t hop3.Token) platform.Actor {
	if t.ID == "" {
		return platform.UserActor(u, hop3.FullScope)
	}
	who := platform.UserActor(u, t.Scope)
	who.Token = &t
	if !t.Named {
		who.Login = t.ID
	}
	return who
}

// Has reports whether a switch was given.
func (c *Call) Has(flag string) bool { return len(c.flags[flag]) > 0 }

// Value returns the last value of a flag, or "".
func (c *Call) Value(flag string) string {
	if v := c.flags[flag]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// takeUpload makes the caller the owner of the uploaded archive, if any.
func (c *Call) takeUpload() *archive.Archive {
	a := c.Extra.Upload
	c.Extra.Upload = nil
	return a
}

// usage is the error of a call that gave too little.
func (c *Command) usage() error {
	return hop3.Errorf(hop3.CodeInvalid, "Usage: %s", c.Line())
}

// Line returns how the command is written.
func (c *Command) Line() string {
	line := "hop3 " + c.Name
	switch c.App {
	case NeedsApp:
		line += " --app NAME"
	case TakesApp:
		line += " [--app NAME]"
	}
	for _, f := range c.Flags {
		line += " [" + f.String() + "]"
	}
	if c.Usage != "" {
		line += " " + c.Usage
	}
	return line
}

// String returns how the flag is written.
func (f Flag) String() string {
	s := "--" + f.Name
	if f.Short != "" {
		s = "-" + f.Short + "/" + s
	}
	if f.Value != "" {
		s += " " + f.Value
	}
	return s
}
