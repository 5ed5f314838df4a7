package build

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

// order is the order in which Hop3's own toolchains are asked. What a language
// is used for decides it: a Python app that also has a package.json builds its
// assets with Node.
var order = []string{
	"python", "ruby", "node", "php", "clojure", "go", "rust", "java", "dotnet", "elixir", "static", "generic",
}

const namespace = "hop3.toolchains"

// choice is a toolchain that takes the source, and why.
type choice struct {
	hop3.Toolchain
	reason string
}

// choose returns the toolchains to run: the forced one; else all that detect
// their files; else the first of the fallbacks that accepts.
func (l *Local) choose(req hop3.BuildRequest) ([]choice, error) {
	if name := req.Options.Toolchain; name != "" {
		return l.forced(name)
	}
	root, err := os.OpenRoot(req.Source)
	if err != nil {
		return nil, fmt.Errorf("opening the source: %w", err)
	}
	defer root.Close()
	src := root.FS()
	var chosen []choice
	for _, t := range l.Toolchains {
		if _, last := t.(hop3.Fallback); last {
			continue
		}
		if reason, ok := t.Detect(src); ok {
			chosen = append(chosen, choice{t, reason})
		}
	}
	if len(chosen) == 0 {
		chosen = l.fallback(src, req.Options)
	}
	if len(chosen) == 0 {
		return nil, hop3.Errorf(hop3.CodeDeploy, "no toolchain recognises the source (%s were asked)", strings.Join(l.names(), ", ")).
			WithHint("Make sure you have one of: Procfile, hop3.toml, requirements.txt, pyproject.toml, Gemfile, package.json, composer.json, index.php, project.clj, deps.edn, " +
				"go.mod, Cargo.toml, pom.xml, build.gradle, *.csproj, mix.exs, public/index.html or index.html.")
	}
	return chosen, nil
}

func (l *Local) forced(name string) ([]choice, error) {
	for _, t := range l.Toolchains {
		if t.Name() == name {
			return []choice{{t, "[build].toolchain"}}, nil
		}
	}
	return nil, hop3.Errorf(hop3.CodeDeploy, "[build].toolchain asks for %q, which this server does not have", name).
		WithHint("It has: %s.", strings.Join(l.names(), ", "))
}

func (l *Local) fallback(src fs.FS, o hop3.BuildOptions) []choice {
	for _, t := range l.Toolchains {
		if f, ok := t.(hop3.Fallback); ok {
			if reason, ok := f.Accept(src, o); ok {
				return []choice{{t, reason}}
			}
		}
	}
	return nil
}

// others are the files that say how other builders build a source.
var others = []string{"Dockerfile", "hop3.nix"}

// onlyForOthers returns the file by which another builder builds a source in
// which no language is recognised, "" for none: without that builder there is
// nothing to build it with.
func onlyForOthers(src string, chosen []choice) string {
	if slices.ContainsFunc(chosen, func(c choice) bool { _, last := c.Toolchain.(hop3.Fallback); return !last }) {
		return ""
	}
	for _, name := range others {
		if info, err := os.Lstat(filepath.Join(src, name)); err == nil && info.Mode().IsRegular() {
			return name
		}
	}
	return ""
}

func (l *Local) names() []string {
	var out []string
	for _, t := range l.Toolchains {
		out = append(out, t.Name())
	}
	return out
}

// loadAll loads every toolchain compiled into this server.
func (l *Local) loadAll(ctx caddy.Context) error {
	modules := caddy.GetModules(namespace)
	slices.SortStableFunc(modules, func(a, b caddy.ModuleInfo) int { return rank(a) - rank(b) })
	var loaded []any
	for _, info := range modules {
		module, err := ctx.LoadModuleByID(string(info.ID), nil)
		if err != nil {
			return fmt.Errorf("loading %s: %w", info.ID, err)
		}
		loaded = append(loaded, module)
	}
	return l.use(loaded)
}

// rank puts a stranger's toolchain after the languages and before the
// fallbacks.
func rank(info caddy.ModuleInfo) int {
	i := slices.Index(order, info.ID.Name())
	switch {
	case i < 0:
		return len(order) - 2
	case i >= len(order)-2:
		return i + 1
	}
	return i
}

func (l *Local) use(modules []any) error {
	l.Toolchains = nil
	for _, module := range modules {
		t, ok := module.(hop3.Toolchain)
		if !ok {
			return fmt.Errorf("%T is not a toolchain", module)
		}
		l.Toolchains = append(l.Toolchains, t)
	}
	return nil
}
