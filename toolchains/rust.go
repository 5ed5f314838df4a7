package toolchains

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/pelletier/go-toml/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Rust))
}

// Rust builds Cargo packages into the directory target/release of the source.
// Releases with the same lockfile share the compiled dependencies.
type Rust struct {
	programs programs
}

// CaddyModule describes the module.
func (*Rust) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.rust", New: func() caddy.Module { return new(Rust) }}
}

// Name returns "rust".
func (*Rust) Name() string { return "rust" }

// Detect looks for a Cargo.toml.
func (*Rust) Detect(src fs.FS) (reason string, ok bool) {
	return first(src, "Cargo.toml")
}

// Build compiles the app's programs.
func (r *Rust) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	rb := &rustBuild{Build: b, src: src}
	if err := r.chooseRust(ctx, rb); err != nil {
		return hop3.Artifact{}, err
	}
	artifact := hop3.Artifact{Toolchains: []string{r.Name()}, PathPrepend: []string{rb.programs()}}
	if len(b.Options.Commands) > 0 {
		artifact.Env = rb.env()
		artifact.PathPrepend = append(artifact.PathPrepend, rb.bin)
		return artifact, nil
	}
	packages, err := rb.metadata(ctx)
	if err != nil {
		return hop3.Artifact{}, err
	}
	target, err := rb.compile(ctx, packages)
	if err != nil {
		return hop3.Artifact{}, err
	}
	artifact.Caches = []string{target}
	if start := rb.start(packages); start != "" && webless(b) {
		artifact.Processes = []hop3.Process{{Type: hop3.ProcessWeb, Command: start, Count: 1}}
	}
	return artifact, nil
}

// rustBuild is one build of a Rust app.
type rustBuild struct {
	*hop3.Build
	src     fs.FS
	bin     string // the directory of cargo and rustc
	version string // of rustc: 1.78.0
}

// programs is where Cargo would have put the app's programs.
func (rb *rustBuild) programs() string { return filepath.Join(rb.Source, "target", "release") }

// env keeps what is downloaded in the app's cache.
func (rb *rustBuild) env() hop3.Env {
	return hop3.Env{
		"CARGO_HOME":               filepath.Join(rb.Cache, "cargo"),
		"CARGO_TERM_COLOR":         "never",
		"CARGO_TERM_PROGRESS_WHEN": "never",
	}
}

// cargo is a command of Cargo.
func (rb *rustBuild) cargo(env hop3.Env, args ...string) hop3.Command {
	if has(rb.src, "Cargo.lock") {
		args = append(args, "--locked")
	}
	return hop3.Command{
		Args: append([]string{filepath.Join(rb.bin, "cargo")}, args...),
		Env:  rb.env().Merge(env),
		Path: []string{rb.bin},
	}
}

// cargoPackage is what Hop3 reads of a package that `cargo metadata` describes.
type cargoPackage struct {
	Name       string `json:"name"`
	Manifest   string `json:"manifest_path"`
	DefaultRun string `json:"default_run"`
	Targets    []struct {
		Name string   `json:"name"`
		Kind []string `json:"kind"`
	} `json:"targets"`
}

// programs are the names of the programs that the package has.
func (p cargoPackage) programs() []string {
	var names []string
	for _, t := range p.Targets {
		if len(t.Kind) == 1 && t.Kind[0] == "bin" {
			names = append(names, t.Name)
		}
	}
	return names
}

// metadata returns the app's own packages.
func (rb *rustBuild) metadata(ctx context.Context) ([]cargoPackage, error) {
	// Without --locked: nothing is resolved.
	answer, err := rb.Runner.Output(ctx, hop3.Command{
		Args: []string{filepath.Join(rb.bin, "cargo"), "metadata", "--format-version", "1", "--no-deps"},
		Env:  rb.env(), Path: []string{rb.bin},
	})
	if err != nil {
		return nil, err
	}
	var workspace struct {
		Packages []cargoPackage `json:"packages"`
	}
	if err := json.Unmarshal([]byte(answer), &workspace); err != nil {
		return nil, hop3.Errorf(hop3.CodeDeploy, "cargo does not describe the app's packages: %w", err)
	}
	return workspace.Packages, nil
}

// compile compiles with the dependencies that an earlier release with the same
// lockfile left, and puts the programs where Cargo would have: a Procfile names
// them there. It returns the cache entry.
func (rb *rustBuild) compile(ctx context.Context, packages []cargoPackage) (target string, err error) {
	if !has(rb.src, "Cargo.lock") {
		if err := noLock(rb.Build, "Cargo.lock"); err != nil {
			return "", err
		}
	}
	words := []string{"1", rb.version, rb.bin, rb.Env["RUSTFLAGS"]}
	key, err := fingerprint(rb.src, words, "Cargo.lock")
	if err != nil {
		return "", err
	}
	// Cargo itself sees to it that what it left half done is done again.
	target, err = entry(ctx, rb.Build, "target", key, func(string) error { return nil })
	if err != nil {
		return "", err
	}
	env := hop3.Env{"CARGO_TARGET_DIR": target}
	for _, p := range packages {
		for _, name := range p.programs() {
			// One that is there afterwards is of this release.
			_ = os.Remove(filepath.Join(target, "release", name))
		}
	}
	say(rb.Build, "-----> Compiling with Rust %s", rb.version)
	if err := rb.Runner.Run(ctx, rb.cargo(env, "build", "--release")); err != nil {
		return "", err
	}
	if err := rb.keepAll(target, packages); err != nil {
		return "", err
	}
	if err := rb.forget(ctx, env, packages); err != nil && ctx.Err() == nil {
		warn(rb.Build, "what was compiled of the app itself stays in the cache")
	}
	return target, ctx.Err()
}

// keepAll copies the programs that were compiled into the release.
func (rb *rustBuild) keepAll(target string, packages []cargoPackage) error {
	kept := 0
	for _, p := range packages {
		for _, name := range p.programs() {
			err := rb.keep(target, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // of a package that is not compiled by default
			}
			if err != nil {
				return fmt.Errorf("keeping the program %s: %w", name, err)
			}
			kept++
		}
	}
	if kept == 0 {
		return hop3.Errorf(hop3.CodeDeploy, "the Cargo package has no program to run").
			WithHint("Looked for src/main.rs, src/bin and [[bin]].")
	}
	return nil
}

// keep copies a program into the release.
func (rb *rustBuild) keep(target, name string) error {
	from, err := os.Open(filepath.Join(target, "release", name))
	if err != nil {
		return err
	}
	defer from.Close()
	if err := os.MkdirAll(rb.programs(), 0o755); err != nil {
		return err
	}
	to, err := os.OpenFile(filepath.Join(rb.programs(), name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if closing := to.Close(); err == nil {
		err = closing
	}
	return err
}

// forget removes what was compiled of the app itself: as each release has its
// own directory, Cargo would use none of it again, and keep it for ever.
func (rb *rustBuild) forget(ctx context.Context, env hop3.Env, packages []cargoPackage) error {
	args := []string{"clean", "--release", "--quiet", "--offline"}
	for _, p := range packages {
		args = append(args, "--package", p.Name)
	}
	return rb.Runner.Run(ctx, rb.cargo(env, args...))
}

// start returns the program to start: the one that the root package names as
// its default, or the only one, or one with the name of a web server; "" when
// nothing tells.
func (rb *rustBuild) start(packages []cargoPackage) string {
	var names []string
	for _, p := range packages {
		if p.DefaultRun != "" && filepath.Dir(p.Manifest) == filepath.Clean(rb.Source) {
			return p.DefaultRun
		}
		for _, name := range p.programs() {
			if exists(filepath.Join(rb.programs(), name)) {
				names = append(names, name)
			}
		}
	}
	return serverAmong(names)
}

// chooseRust finds the compiler that the app asks for among those installed. It
// goes around the launchers of rustup, which would try to install others.
func (r *Rust) chooseRust(ctx context.Context, rb *rustBuild) error {
	rustc, rustupHome := findRust(rb.Build)
	if rustc == "" {
		return missing("Rust", "cargo")
	}
	env := hop3.Env{}
	if rustupHome != "" {
		env["RUSTUP_HOME"] = rustupHome
	}
	root, err := r.programs.ask(ctx, rb.Build, env, rustc, "--print", "sysroot")
	if err != nil {
		return err
	}
	rb.bin = filepath.Join(strings.TrimSpace(root), "bin")
	wanted := rustChannel(rb.src)
	if wanted.version != "" {
		if found, _ := filepath.Glob(filepath.Join(filepath.Dir(strings.TrimSpace(root)), wanted.version+"-*", "bin")); len(found) > 0 {
			rb.bin = found[0]
		}
	}
	for _, name := range []string{"rustc", "cargo"} {
		if !exists(filepath.Join(rb.bin, name)) {
			return missing("Rust's "+name, "cargo")
		}
	}
	answer, err := r.programs.ask(ctx, rb.Build, nil, filepath.Join(rb.bin, "rustc"), "--version")
	if err != nil {
		return err
	}
	words := strings.Fields(answer)
	if len(words) < 2 {
		return hop3.Errorf(hop3.CodeDeploy, "%s does not say which Rust it is", rustc)
	}
	rb.version, _, _ = strings.Cut(words[1], "-")
	if least := rustVersion(rb.src); least != "" && !allowed(rb.version, ">="+least) {
		return hop3.Errorf(hop3.CodeDeploy, "Cargo.toml asks for Rust %s; this server has %s", least, rb.version).
			WithHint("Install a newer Rust on the server, or lower rust-version of Cargo.toml.")
	}
	if !bareVersion.MatchString(wanted.version) {
		return nil // stable, or a nightly one that any compiler may do for
	}
	return wanted.check(rb.Build, "Rust", rb.version, 2)
}

// findRust returns a compiler, and the home of rustup when it may be one of its
// launchers: a build has another home than the server.
func findRust(b *hop3.Build) (rustc, rustupHome string) {
	var homes []string
	if home, err := os.UserHomeDir(); err == nil {
		homes = append(homes, home)
	}
	for _, home := range append(homes, "/home/hop3") {
		if file := filepath.Join(home, ".cargo", "bin", "rustc"); exists(file) {
			if rustupHome := filepath.Join(home, ".rustup"); exists(rustupHome) {
				return file, rustupHome
			}
			return file, ""
		}
	}
	for _, dir := range []string{"/usr/local/bin", "/usr/bin"} {
		if file := filepath.Join(dir, "rustc"); exists(file) {
			return file, ""
		}
	}
	return find(b, "rustc"), ""
}

// rustChannel returns the toolchain that rust-toolchain.toml names.
func rustChannel(src fs.FS) asked {
	for _, file := range []string{"rust-toolchain.toml", "rust-toolchain"} {
		var t struct {
			Toolchain struct{ Channel string }
		}
		text := read(src, file)
		if err := toml.Unmarshal([]byte(text), &t); err == nil && t.Toolchain.Channel != "" {
			return asked{t.Toolchain.Channel, file}
		}
		// The older form is the name alone.
		if words := strings.Fields(text); len(words) == 1 && filepath.IsLocal(words[0]) {
			return asked{words[0], file}
		}
	}
	return asked{}
}

// rustVersion returns the oldest Rust that Cargo.toml allows, "" for any.
func rustVersion(src fs.FS) string {
	type version struct {
		RustVersion any `toml:"rust-version"`
	}
	var manifest struct {
		Package   version
		Workspace struct{ Package version }
	}
	// What is wrong with the file Cargo says itself.
	_ = toml.Unmarshal([]byte(read(src, "Cargo.toml")), &manifest)
	if v, ok := manifest.Package.RustVersion.(string); ok {
		return v
	}
	v, _ := manifest.Workspace.Package.RustVersion.(string)
	return v
}

var (
	_ hop3.Toolchain = (*Rust)(nil)
	_ caddy.Module   = (*Rust)(nil)
)
