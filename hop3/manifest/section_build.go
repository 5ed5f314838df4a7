package manifest

import (
	"path"
	"strings"

	"github.com/abilian/hop3/hop3"
)

var toolchains = []string{"python", "node", "ruby", "php", "go", "rust", "java", "clojure", "elixir", "dotnet", "static", "generic"}

func readBuild(r *reading) {
	t := r.table.table("build")
	if t == nil {
		return
	}
	m := r.manifest
	m.Builder = strings.ToLower(t.text("builder"))
	m.BeforeBuild = t.commands("before-build")
	m.AfterBuild = t.commands("after-build")
	m.Build = hop3.BuildOptions{
		Toolchain:   t.toolchain("toolchain"),
		StaticDir:   t.directory("static-dir"),
		NodeVersion: t.text("node-version"),
		Commands:    t.commands("build"),
		Packages:    t.texts("packages"),
		Strict:      t.flag("strict"),
	}
	t.texts("ignore") // applied by the client, before it sends the source
	t.done()
}

// toolchain accepts any word, since a plug-in may bring a toolchain of its own:
// only what looks like a misspelt one of ours is refused here.
func (t *table) toolchain(key string) string {
	name := strings.ToLower(t.text(key))
	for _, known := range toolchains {
		if name == known {
			return name
		}
	}
	if guess := closest(name, toolchains); guess != "" && len(name) > 2 {
		t.fail(key, "%q is not a toolchain; did you mean '%s'? Toolchains: %s", cut(name), guess, strings.Join(toolchains, ", "))
	}
	return name
}

// directory is a path inside the source.
func (t *table) directory(key string) string {
	dir := t.text(key)
	if dir != "" && !inside(dir) {
		t.fail(key, "%q must be a directory inside the app's source", cut(dir))
	}
	return dir
}

// inside reports whether a relative path stays in the source.
func inside(dir string) bool {
	clean := path.Clean(dir)
	return !path.IsAbs(dir) && clean != ".." && !strings.HasPrefix(clean, "../")
}
