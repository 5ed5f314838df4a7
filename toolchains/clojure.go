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
	caddy.RegisterModule(new(Clojure))
}

// Clojure builds the jar of an app with everything in it: Leiningen's uberjar,
// or what the alias :build of deps.edn makes.
type Clojure struct {
	programs programs
}

// CaddyModule describes the module.
func (*Clojure) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.clojure", New: func() caddy.Module { return new(Clojure) }}
}

// Name returns "clojure".
func (*Clojure) Name() string { return "clojure" }

// Detect looks for the files of Leiningen and of Clojure's own tools.
func (*Clojure) Detect(src fs.FS) (reason string, ok bool) {
	return first(src, "project.clj", "deps.edn")
}

// Build makes the jar.
func (c *Clojure) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	jdk, err := chooseJDK(b, src)
	if err != nil {
		return hop3.Artifact{}, err
	}
	artifact := hop3.Artifact{
		Toolchains:  []string{c.Name()},
		Env:         clojureEnv(b, src, jdk),
		PathPrepend: []string{filepath.Join(jdk.home, "bin")},
	}
	if len(b.Options.Commands) > 0 {
		return artifact, nil
	}
	argv, err := c.command(ctx, b, src)
	if err != nil {
		return hop3.Artifact{}, err
	}
	say(b, "-----> Building with Java %s", jdk.version)
	if err := b.Runner.Run(ctx, hop3.Command{Args: argv, Env: artifact.Env, Path: artifact.PathPrepend}); err != nil {
		return hop3.Artifact{}, err
	}
	if !webless(b) {
		return artifact, nil
	}
	if jar := findJar(src); jar != nil {
		artifact.Processes = []hop3.Process{{Type: hop3.ProcessWeb, Command: jar.command(), Count: 1}}
	} else {
		warn(b, "the build made no jar with a Main-Class: say in a Procfile what runs")
	}
	return artifact, nil
}

// clojureEnv has the tools keep what is theirs in the app's cache. Libraries go
// to the home of the app's builds, which is as lasting.
func clojureEnv(b *hop3.Build, src fs.FS, jdk jdk) hop3.Env {
	if has(src, "project.clj") {
		return hop3.Env{"JAVA_HOME": jdk.home, "LEIN_HOME": filepath.Join(b.Cache, "lein")}
	}
	return hop3.Env{"JAVA_HOME": jdk.home, "CLJ_CONFIG": filepath.Join(b.Cache, "clojure")}
}

var buildAlias = regexp.MustCompile(`:build\s*\{`)

// command returns what makes the jar.
func (c *Clojure) command(ctx context.Context, b *hop3.Build, src fs.FS) ([]string, error) {
	if has(src, "project.clj") {
		if find(b, "lein") == "" {
			return nil, missing("Leiningen", "leiningen")
		}
		return []string{"lein", "do", "clean,", "uberjar"}, nil
	}
	if err := c.hasTools(ctx, b); err != nil {
		return nil, err
	}
	if !buildAlias.MatchString(read(src, "deps.edn")) {
		return []string{"clojure", "-P"}, nil
	}
	return []string{"clojure", "-T:build", "release"}, nil
}

// hasTools looks for Clojure's own tools, which are more than the package of
// Debian that has a program of the same name.
func (c *Clojure) hasTools(ctx context.Context, b *hop3.Build) error {
	if program := find(b, "clojure"); program != "" {
		answer, err := c.programs.ask(ctx, b, nil, program, "--version")
		if ctx.Err() != nil {
			return err
		}
		if err == nil && strings.Contains(answer, "CLI") {
			return nil
		}
	}
	return hop3.Errorf(hop3.CodeDeploy, "Clojure's command line tools are not installed on this server").
		WithHint("See https://clojure.org/guides/install_clojure; the package clojure of Debian does not have them. Or add a project.clj: apt-get install leiningen.")
}

var (
	_ hop3.Toolchain = (*Clojure)(nil)
	_ caddy.Module   = (*Clojure)(nil)
)
