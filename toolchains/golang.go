package toolchains

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	goversion "go/version"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Go))
}

// Go builds Go modules: the main package at the root, or those under cmd, into
// the directory bin of the source.
type Go struct {
	programs programs
}

// CaddyModule describes the module.
func (*Go) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.go", New: func() caddy.Module { return new(Go) }}
}

// Name returns "go".
func (*Go) Name() string { return "go" }

// Detect looks for a go.mod.
func (*Go) Detect(src fs.FS) (reason string, ok bool) {
	return first(src, "go.mod")
}

// Build compiles the app's programs.
func (g *Go) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	if err := noTelemetry(b); err != nil {
		return hop3.Artifact{}, err
	}
	mod := read(src, "go.mod")
	if err := g.checkVersion(ctx, b, mod); err != nil {
		return hop3.Artifact{}, err
	}
	artifact := hop3.Artifact{Toolchains: []string{g.Name()}, PathPrepend: []string{filepath.Join(b.Source, "bin")}}
	if len(b.Options.Commands) > 0 {
		artifact.Env = goEnv(b)
		return artifact, nil
	}
	mains := findMains(src, b.Source, moduleName(mod))
	if len(mains) == 0 {
		return hop3.Artifact{}, hop3.Errorf(hop3.CodeDeploy, "the Go module has no program to build").
			WithHint("Looked for a package main at the root, under cmd, and one directory down.")
	}
	for _, m := range mains {
		say(b, "-----> Compiling %s", m.name)
		err := b.Runner.Run(ctx, hop3.Command{
			Args: []string{"go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join("bin", m.name), "./" + m.dir},
			Env:  goEnv(b),
		})
		if err != nil {
			return hop3.Artifact{}, err
		}
	}
	if start := startOf(mains); start != "" && webless(b) {
		artifact.Processes = []hop3.Process{{Type: hop3.ProcessWeb, Command: start, Count: 1}}
	}
	return artifact, nil
}

// goEnv keeps modules and compiled packages in the app's cache. Read-only
// modules would make the cache hard to remove.
func goEnv(b *hop3.Build) hop3.Env {
	flags := "-modcacherw"
	if own := b.Env["GOFLAGS"]; own != "" {
		flags += " " + own
	}
	cache := filepath.Join(b.Cache, "build")
	if own := b.Env["GOCACHE"]; own != "" {
		cache = own
	}
	return hop3.Env{
		"GOCACHE":     cache,
		"GOMODCACHE":  filepath.Join(b.Cache, "mod"),
		"GOPATH":      filepath.Join(b.Cache, "path"),
		"GOENV":       "off",
		"GOTOOLCHAIN": "local",
		"GOFLAGS":     flags,

		"XDG_CONFIG_HOME": goConfig(b),
	}
}

func goConfig(b *hop3.Build) string { return filepath.Join(b.Cache, "config") }

// noTelemetry keeps the go command from starting a process of its own that
// counts its uses and outlives the build. Only a file can say so.
func noTelemetry(b *hop3.Build) error {
	mode := filepath.Join(goConfig(b), "go", "telemetry", "mode")
	if exists(mode) {
		return nil
	}
	err := os.MkdirAll(filepath.Dir(mode), 0o755)
	if err == nil {
		err = os.WriteFile(mode, []byte("off\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("turning go's telemetry off: %w", err)
	}
	return nil
}

var goDirective = regexp.MustCompile(`(?m)^go\s+(\d+\.\d+(?:\.\d+)?)`)

// checkVersion says in a sentence what the go command would say less clearly.
func (g *Go) checkVersion(ctx context.Context, b *hop3.Build, mod string) error {
	program := find(b, "go")
	if program == "" {
		return hop3.Errorf(hop3.CodeDeploy, "Go is not installed on this server").
			WithHint("On Debian and Ubuntu: apt-get install golang, or see https://go.dev/doc/install")
	}
	answer, err := g.programs.ask(ctx, b, goEnv(b), program, "version")
	if err != nil {
		return err
	}
	words := strings.Fields(answer)
	m := goDirective.FindStringSubmatch(mod)
	if len(words) < 3 || m == nil {
		return nil
	}
	have, want := words[2], "go"+m[1]
	if goversion.IsValid(have) && goversion.Compare(have, want) < 0 {
		return hop3.Errorf(hop3.CodeDeploy, "go.mod asks for Go %s; this server has %s", m[1], strings.TrimPrefix(have, "go")).
			WithHint("Install a newer Go on the server, or lower the 'go' line of go.mod.")
	}
	return nil
}

var (
	moduleLine  = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)
	majorSuffix = regexp.MustCompile(`^v\d+$`)
	programName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
)

// moduleName is the last element of the module's path, without a version.
func moduleName(mod string) string {
	m := moduleLine.FindStringSubmatch(mod)
	if m == nil {
		return "app"
	}
	name := path.Base(m[1])
	if majorSuffix.MatchString(name) {
		name = path.Base(path.Dir(m[1]))
	}
	if !programName.MatchString(name) {
		return "app"
	}
	return name
}

// goMain is a package main.
type goMain struct {
	dir  string // relative to the module's root, "" for the root
	name string // of the program
}

// findMains returns the programs at the root and under cmd; when there are
// none, those one directory down.
func findMains(src fs.FS, source, module string) []goMain {
	var mains []goMain
	if isMain(source, ".") {
		mains = append(mains, goMain{"", module})
	}
	mains = append(mains, mainsIn(src, source, "cmd")...)
	if isMain(source, "cmd") {
		mains = append(mains, goMain{"cmd", module})
	}
	if len(mains) == 0 {
		mains = mainsIn(src, source, ".")
	}
	slices.SortStableFunc(mains, func(a, b goMain) int { return strings.Compare(a.dir, b.dir) })
	return slices.CompactFunc(mains, func(a, b goMain) bool { return a.name == b.name })
}

func mainsIn(src fs.FS, source, dir string) []goMain {
	entries, err := fs.ReadDir(src, dir)
	if err != nil {
		return nil
	}
	var mains []goMain
	for _, e := range entries {
		sub := path.Join(dir, e.Name())
		if e.IsDir() && programName.MatchString(e.Name()) && !hasOwnModule(src, sub) && isMain(source, sub) {
			mains = append(mains, goMain{sub, e.Name()})
		}
	}
	return mains
}

func hasOwnModule(src fs.FS, dir string) bool { return has(src, path.Join(dir, "go.mod")) }

// isMain reports whether a directory holds a package main for this machine.
func isMain(source, dir string) bool {
	context := build.Default
	context.GOPATH = ""
	pkg, err := context.ImportDir(filepath.Join(source, dir), build.ImportComment)
	var several *build.MultiplePackageError
	return (err == nil || errors.As(err, &several)) && pkg.Name == "main"
}

// startOf returns the program to start: the only one, the root's, or the one
// with the name of a web server; "" when nothing tells.
func startOf(mains []goMain) string {
	if len(mains) == 1 || mains[0].dir == "" {
		return mains[0].name
	}
	var names []string
	for _, m := range mains {
		names = append(names, m.name)
	}
	return serverAmong(names)
}

var (
	_ hop3.Toolchain = (*Go)(nil)
	_ caddy.Module   = (*Go)(nil)
)
