package hop3

import "context"

// Builder builds a release: local (our toolchains), docker, nix. It is a Caddy
// module in the namespace hop3.builders.
type Builder interface {
	// Name is the word of [build].builder: "local".
	Name() string
	// Accept reports whether the builder can build the source, and why, or
	// why not.
	Accept(ctx context.Context, req BuildRequest) (reason string, ok bool)
	// Build builds. Errors are as Toolchain.Build's.
	Build(ctx context.Context, req BuildRequest) (Artifact, error)
}

// Keeper is implemented by a Builder whose artifacts are not all in the
// directories of releases, as images are.
type Keeper interface {
	// Keep removes what the builder has made for builds of the app that are
	// not among these. What is in use is left alone: it is removed the next
	// time. Keeping of what was never made is no error.
	Keep(ctx context.Context, app string, builds []int) error
	// KeepApps removes what the builder has made for apps that are not among
	// these: those that were destroyed while that could not be removed.
	KeepApps(ctx context.Context, apps []string) error
}

// Verifier is implemented by a Builder whose artifacts can lose parts outside
// of the directories of releases.
type Verifier interface {
	// Verify returns an error when a release of the artifact, which may be
	// another builder's, cannot be started.
	Verify(ctx context.Context, a Artifact) error
}

// BuildRequest is what a Builder is asked to build.
type BuildRequest struct {
	App      string
	Build    int    // the release's number
	Source   string // the release's directory
	AppDir   string // the app's own directory, read-only to what the build runs
	CacheDir string // the app's build cache
	LogFile  string // the build's log; also receives what goes to Out
	Env      Env
	Options  BuildOptions
	Before   []string // [build].before-build
	After    []string // [build].after-build
	Out      Output
}
