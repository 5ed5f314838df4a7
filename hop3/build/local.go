// Package build holds the local builder: it runs toolchains, in order, in
// limited child processes on this machine.
package build

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
)

func init() {
	caddy.RegisterModule(new(Local))
}

// Local builds with the toolchains installed on this machine. With several
// that detect the source, all run, and their artifacts become one.
type Local struct {
	// ToolchainsRaw are the toolchains, in the order they are asked. Without
	// any, all those compiled in are used, Hop3's own first.
	ToolchainsRaw []json.RawMessage `json:"toolchains,omitempty" caddy:"namespace=hop3.toolchains inline_key=toolchain"`

	// Memory caps what all commands of one build may use together, in bytes.
	// Default: three quarters of the machine's.
	Memory int64 `json:"memory,omitempty"`

	// Toolchains are the loaded ones.
	Toolchains []hop3.Toolchain `json:"-"`

	sandbox *sandbox.Sandbox
}

// UseSandbox has builds run as their app's user, in a control group of their
// own. It is called before the first build.
func (l *Local) UseSandbox(s *sandbox.Sandbox) { l.sandbox = s }

// CaddyModule describes the module.
func (*Local) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.builders.local", New: func() caddy.Module { return new(Local) }}
}

// Provision loads the toolchains.
func (l *Local) Provision(ctx caddy.Context) error {
	if l.ToolchainsRaw == nil {
		return l.loadAll(ctx)
	}
	loaded, err := ctx.LoadModule(l, "ToolchainsRaw")
	if err != nil {
		return fmt.Errorf("loading the toolchains: %w", err)
	}
	return l.use(loaded.([]any))
}

// Name returns "local".
func (*Local) Name() string { return "local" }

// Accept reports whether a toolchain takes the source.
func (l *Local) Accept(_ context.Context, req hop3.BuildRequest) (reason string, ok bool) {
	chosen, err := l.choose(req)
	switch {
	case err != nil && len(req.Before) > 0:
		return "before-build may fetch the source", true
	case err != nil:
		return hop3.MessageOf(err), false
	}
	if file := onlyForOthers(req.Source, chosen); file != "" && req.Options.Toolchain == "" && len(req.Before) == 0 {
		return "its " + file + " says how it is built, and nothing else does", false
	}
	var reasons []string
	for _, c := range chosen {
		reasons = append(reasons, c.Name()+" ("+c.reason+")")
	}
	return strings.Join(reasons, ", "), true
}

// Build runs the hooks and the toolchains.
func (l *Local) Build(ctx context.Context, req hop3.BuildRequest) (artifact hop3.Artifact, err error) {
	job, err := Begin(req, l.Name(), Place{Sandbox: l.sandbox, Memory: l.Memory})
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer func() {
		err = job.End(err)
	}()
	home := filepath.Join(req.CacheDir, "home")
	if err := job.MakeDir(home); err != nil {
		return hop3.Artifact{}, err
	}
	job.Runner.Env = childEnv(home, req.Env)
	b := &building{request: req, runner: job.Runner, place: job.place, out: job.Out}
	return b.run(ctx, l.choose)
}

// building is one build under way.
type building struct {
	request  hop3.BuildRequest
	runner   *Runner
	place    *place
	out      hop3.Output
	artifact hop3.Artifact
}

// run is the order of a build. The toolchains are chosen after the first hooks,
// which may fetch sources.
func (b *building) run(ctx context.Context, choose func(hop3.BuildRequest) ([]choice, error)) (hop3.Artifact, error) {
	b.warnPackages()
	if err := b.commands(ctx, "before-build", b.request.Before); err != nil {
		return hop3.Artifact{}, err
	}
	chosen, err := choose(b.request)
	if err != nil {
		return hop3.Artifact{}, err
	}
	for _, c := range chosen {
		say(b.out, "-----> %s app detected (%s)", title(c.Name()), c.reason)
		if err := b.toolchain(ctx, c); err != nil {
			return hop3.Artifact{}, err
		}
	}
	if err := b.commands(ctx, "build", b.request.Options.Commands); err != nil {
		return hop3.Artifact{}, err
	}
	if err := b.commands(ctx, "after-build", b.request.After); err != nil {
		return hop3.Artifact{}, err
	}
	return b.artifact, b.staticRoot()
}

func (b *building) toolchain(ctx context.Context, t hop3.Toolchain) error {
	cache := filepath.Join(b.request.CacheDir, t.Name())
	if err := b.place.makeDir(cache); err != nil {
		return fmt.Errorf("making the cache of %s: %w", t.Name(), err)
	}
	var artifact hop3.Artifact
	err := b.place.as(b.out, func(out hop3.Output) (err error) {
		artifact, err = t.Build(ctx, &hop3.Build{
			App:     b.request.App,
			Source:  b.request.Source,
			Cache:   cache,
			Env:     b.request.Env,
			Options: b.request.Options,
			Runner:  b.runner,
			Out:     out,
		})
		return err
	})
	if err != nil {
		return err
	}
	b.artifact = merge(b.artifact, artifact)
	return nil
}

// commands runs the developer's own commands with the artifact's environment.
func (b *building) commands(ctx context.Context, hook string, lines []string) error {
	for _, line := range lines {
		say(b.out, "-----> Running %s: %s", hook, clean(line))
		err := b.runner.Run(ctx, hop3.Command{Shell: line, Env: b.artifact.Env, Path: b.artifact.PathPrepend})
		if err != nil {
			return err
		}
	}
	return nil
}

// merge adds what a later toolchain made: its programs are found after the
// earlier ones', and its start commands fill gaps only.
func merge(a, b hop3.Artifact) hop3.Artifact {
	a.Toolchains = append(a.Toolchains, b.Toolchains...)
	a.Env = b.Env.Merge(a.Env)
	a.PathPrepend = append(a.PathPrepend, b.PathPrepend...)
	for _, p := range b.Processes {
		// An app answers its requests in one way.
		if !slices.ContainsFunc(a.Processes, func(have hop3.Process) bool {
			return have.Type == p.Type || hop3.ServesHTTP(have.Type) && hop3.ServesHTTP(p.Type)
		}) {
			a.Processes = append(a.Processes, p)
		}
	}
	if a.StaticRoot == "" {
		a.StaticRoot = b.StaticRoot
	}
	a.Caches = append(a.Caches, b.Caches...)
	return a
}

// title is a toolchain's name at the beginning of a sentence.
func title(name string) string {
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func say(out hop3.Output, format string, args ...any) {
	out.Log(hop3.LogLine{Text: fmt.Sprintf(format, args...), Level: 1, Time: time.Now()})
}

func warn(out hop3.Output, format string, args ...any) {
	out.Log(hop3.LogLine{Text: "       Warning: " + fmt.Sprintf(format, args...), Level: 1, Color: "yellow", Time: time.Now()})
}

var (
	_ hop3.Builder      = (*Local)(nil)
	_ caddy.Provisioner = (*Local)(nil)
)
