package toolchains

import (
	"context"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Elixir))
}

// Elixir builds Mix projects: Hex fetches the packages, Mix compiles, and makes
// a release of its kind when the project defines one.
type Elixir struct {
	programs programs
}

// CaddyModule describes the module.
func (*Elixir) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.elixir", New: func() caddy.Module { return new(Elixir) }}
}

// Name returns "elixir".
func (*Elixir) Name() string { return "elixir" }

// Detect looks for a mix.exs.
func (*Elixir) Detect(src fs.FS) (reason string, ok bool) {
	return first(src, "mix.exs")
}

// Build fetches the app's packages and compiles it.
func (e *Elixir) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	eb := &elixirBuild{Build: b, src: src, project: withoutComments(read(src, "mix.exs"))}
	if err := e.checkVersion(ctx, eb); err != nil {
		return hop3.Artifact{}, err
	}
	if len(b.Options.Commands) == 0 {
		if err := eb.compile(ctx); err != nil {
			return hop3.Artifact{}, err
		}
	}
	artifact := hop3.Artifact{Toolchains: []string{e.Name()}, Env: eb.env()}
	if start := eb.start(); start != "" && webless(b) {
		artifact.Processes = []hop3.Process{{Type: hop3.ProcessWeb, Command: start, Count: 1}}
	}
	return artifact, nil
}

// elixirBuild is one build of an Elixir app.
type elixirBuild struct {
	*hop3.Build
	src     fs.FS
	project string // the text of mix.exs, without comments
	version string
}

var (
	mixElixir   = regexp.MustCompile(`\belixir:\s*"([^"]+)"`)
	mixReleases = regexp.MustCompile(`\breleases:`)
	mixPhoenix  = regexp.MustCompile(`\{\s*:phoenix\s*,`)
	mixAssets   = regexp.MustCompile(`"assets\.deploy"`)
	mixPackage  = regexp.MustCompile(`\{\s*:\w+\s*,\s*"[^"]*\d`)
	mixLocked   = regexp.MustCompile(`\{\s*:(hex|git)\s*,`)
	mixComment  = regexp.MustCompile(`(?m)^\s*#.*$`)
)

// withoutComments leaves out the lines that are comments: the mix.exs that Mix
// makes has examples in them.
func withoutComments(text string) string { return mixComment.ReplaceAllString(text, "") }

func (e *Elixir) checkVersion(ctx context.Context, eb *elixirBuild) error {
	program := find(eb.Build, "elixir")
	if program == "" || find(eb.Build, "mix") == "" {
		return missing("Elixir", "elixir")
	}
	answer, err := e.programs.ask(ctx, eb.Build, nil, program, "--short-version")
	if err != nil {
		return err
	}
	eb.version = strings.TrimSpace(answer)
	if m := mixElixir.FindStringSubmatch(eb.project); m != nil && !allowedByElixir(eb.version, m[1]) {
		return hop3.Errorf(hop3.CodeDeploy, "mix.exs asks for Elixir %s; this server has %s", m[1], eb.version).
			WithHint("Install an Elixir that fits on the server, or change the line 'elixir' of mix.exs.")
	}
	return askedIn(eb.src, "elixir").check(eb.Build, "Elixir", eb.version, 2)
}

// allowedByElixir reports whether a version is within bounds such as
// "~> 1.14 or >= 2.0.0 and < 3.0.0".
func allowedByElixir(version, bounds string) bool {
	for _, part := range strings.Split(bounds, " or ") {
		clauses := strings.Split(part, " and ")
		for i, clause := range clauses {
			if bareVersion.MatchString(strings.TrimSpace(clause)) {
				clauses[i] = "==" + clause
			}
		}
		if allowed(version, strings.Join(clauses, ",")) {
			return true
		}
	}
	return false
}

// env is what Mix needs at run time too. What it installs for itself, and what
// Hex has downloaded, later releases find again.
func (eb *elixirBuild) env() hop3.Env {
	env := hop3.Env{
		"MIX_ENV":  eb.mixEnv(),
		"MIX_HOME": filepath.Join(eb.Cache, "mix"),
		"HEX_HOME": filepath.Join(eb.Cache, "hex"),
	}
	if !mixReleases.MatchString(eb.project) {
		return env
	}
	// Two releases of an app run beside each other, where they cannot write and
	// must not meet by a name.
	for key, value := range map[string]string{"RELEASE_DISTRIBUTION": "none", "RELEASE_TMP": "/tmp", "PHX_SERVER": "true"} {
		if eb.Env[key] == "" {
			env[key] = value
		}
	}
	return env
}

// mixEnv is what the app says, else prod.
func (eb *elixirBuild) mixEnv() string {
	if own := eb.Env["MIX_ENV"]; own != "" {
		return own
	}
	return "prod"
}

func (eb *elixirBuild) mix(ctx context.Context, args ...string) error {
	return eb.Runner.Run(ctx, hop3.Command{Args: append([]string{"mix"}, args...), Env: eb.env()})
}

func (eb *elixirBuild) compile(ctx context.Context) error {
	if eb.hasPackages() {
		if err := eb.fetch(ctx); err != nil {
			return err
		}
	}
	say(eb.Build, "-----> Compiling with Elixir %s", eb.version)
	if err := eb.mix(ctx, "compile"); err != nil {
		return err
	}
	if mixAssets.MatchString(eb.project) {
		say(eb.Build, "-----> Building the assets")
		if err := eb.mix(ctx, "assets.deploy"); err != nil {
			return err
		}
	}
	if !mixReleases.MatchString(eb.project) {
		return nil
	}
	say(eb.Build, "-----> Making the release")
	return eb.mix(ctx, "release", "--overwrite")
}

// hasPackages reports whether the app, or one below apps, has packages to
// fetch. Without, neither Hex nor a network is needed.
func (eb *elixirBuild) hasPackages() bool {
	if mixLocked.MatchString(read(eb.src, "mix.lock")) {
		return true
	}
	projects, _ := fs.Glob(eb.src, "apps/*/mix.exs")
	for _, project := range append(projects, "mix.exs") {
		if mixPackage.MatchString(withoutComments(read(eb.src, project))) {
			return true
		}
	}
	return false
}

// fetch gets Hex, Rebar and then the packages.
func (eb *elixirBuild) fetch(ctx context.Context) error {
	if !has(eb.src, "mix.lock") {
		if err := noLock(eb.Build, "mix.lock"); err != nil {
			return err
		}
	}
	for _, tool := range []struct{ name, task, installed string }{
		{"Hex", "local.hex", "archives/hex-*"},
		{"Rebar", "local.rebar", "elixir/*/rebar3"},
	} {
		if found, _ := filepath.Glob(filepath.Join(eb.env()["MIX_HOME"], tool.installed)); len(found) > 0 {
			continue
		}
		say(eb.Build, "-----> Installing %s", tool.name)
		if err := eb.mix(ctx, tool.task, "--force"); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return hop3.Errorf(hop3.CodeDeploy, "%s, which Mix needs for the app's packages, cannot be installed: %w", tool.name, err).
				WithHint("The server must reach the registry of Hex. An app without packages needs neither.")
		}
	}
	args := []string{"deps.get", "--only", eb.mixEnv()}
	if has(eb.src, "mix.lock") {
		args = append(args, "--check-locked")
	}
	say(eb.Build, "-----> Fetching packages")
	return eb.mix(ctx, args...)
}

// start returns the command of the release, of Phoenix, or of the app. They do
// not compile: a release cannot be written to while it runs.
func (eb *elixirBuild) start() string {
	switch {
	case mixReleases.MatchString(eb.project):
		made, _ := fs.Glob(eb.src, "_build/"+eb.mixEnv()+"/rel/*")
		if len(made) != 1 {
			return ""
		}
		return made[0] + "/bin/" + filepath.Base(made[0]) + " start"
	case eb.phoenix():
		return "mix phx.server --no-compile --no-deps-check"
	}
	return "mix run --no-halt --no-compile --no-deps-check"
}

func (eb *elixirBuild) phoenix() bool {
	projects, _ := fs.Glob(eb.src, "apps/*/mix.exs")
	for _, project := range projects {
		if mixPhoenix.MatchString(withoutComments(read(eb.src, project))) {
			return true
		}
	}
	return mixPhoenix.MatchString(eb.project)
}

var (
	_ hop3.Toolchain = (*Elixir)(nil)
	_ caddy.Module   = (*Elixir)(nil)
)
