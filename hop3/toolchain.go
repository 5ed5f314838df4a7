package hop3

import (
	"context"
	"io/fs"
	"slices"
)

// Toolchain turns a source tree of one language into something that runs. It
// is a Caddy module in the namespace hop3.toolchains, safe for concurrent use.
type Toolchain interface {
	// Name is the word of [build].toolchain: "python".
	Name() string
	// Detect reports whether src is written for this toolchain, and by which
	// file: "requirements.txt".
	Detect(src fs.FS) (reason string, ok bool)
	// Build installs dependencies and compiles in b.Source. A command that
	// fails fails the build: the returned error is a CodeDeploy Error with a
	// sentence for the developer. Build leaves nothing running.
	Build(ctx context.Context, b *Build) (Artifact, error)
}

// Fallback is implemented by a Toolchain that is asked only when no other one
// detects the source, and that looks at what the manifest declares too: static
// and generic.
type Fallback interface {
	// Accept reports whether the toolchain takes the source, and why.
	Accept(src fs.FS, o BuildOptions) (reason string, ok bool)
}

// Build is one build of one release.
type Build struct {
	App     string
	Source  string // the release's directory: checked out, writable
	Cache   string // the toolchain's own directory for this app; survives releases
	Env     Env    // the app's variables: for version selection and build commands
	Options BuildOptions
	Runner  Runner
	Out     Output
}

// BuildOptions is the [build] section of the manifest.
type BuildOptions struct {
	Toolchain   string // forced; empty: detected
	StaticDir   string // for the static toolchain; "" means "public"
	NodeVersion string // wanted Node version
	// Commands is [build].build. With it a toolchain only prepares the ground
	// (a virtual environment, PATH, variables): the builder then runs the
	// commands, once, in place of what the toolchain would have run.
	Commands []string
	Packages []string // system packages the app says it needs
	// Strict makes what a later build could get otherwise, as the version of a
	// package that no lockfile fixes, an error instead of a warning.
	Strict bool
	Docker DockerOptions
	Nix    NixOptions
	// Processes are the process types the manifest declares: a toolchain
	// offers a start command only where there is none.
	Processes []Process
}

// Static returns the directory the manifest declares as served, "" for none.
func (o BuildOptions) Static() string {
	for _, p := range o.Processes {
		if p.Type == ProcessStatic {
			return p.Command
		}
	}
	return o.StaticDir
}

// Declares reports whether the manifest declares one of the process types.
func (o BuildOptions) Declares(types ...string) bool {
	return slices.ContainsFunc(o.Processes, func(p Process) bool { return slices.Contains(types, p.Type) })
}

// Runner runs the commands of a build in limited child processes: in their own
// process group, ended when ctx is done, their output sent line by line to the
// build's Output.
type Runner interface {
	// Run runs argv. The returned error is a CodeDeploy Error naming the
	// command and how it ended.
	Run(ctx context.Context, cmd Command) error
	// Output runs argv and returns its standard output instead of sending it
	// to the build's Output.
	Output(ctx context.Context, cmd Command) (string, error)
}

// Command is a command of a build.
type Command struct {
	Dir  string   // working directory; "" means the build's source
	Env  Env      // added to the build's environment
	Path []string // directories put before PATH
	Args []string // argv; never a shell string
	// Shell is a command line of the developer, run by /bin/sh -c. It
	// excludes Args.
	Shell string
}

// Artifact is what came out of a build.
type Artifact struct {
	Toolchains  []string  // in the order they ran
	Env         Env       // variables the artifact needs at run time
	PathPrepend []string  // directories put before PATH at run time
	Processes   []Process // start commands offered when the manifest has none
	StaticRoot  string    // directory to serve, relative to the source; "" for none
	Caches      []string  // cache entries the artifact uses: kept while a release refers to them
	// Container is how the release runs as containers; nil for processes of
	// the host.
	Container *Container `json:",omitempty"`
}
