package cli

import (
	"path"
	"strings"
)

// neverDeployed is what no deploy needs: version control, editors, and what
// the server builds for itself.
var neverDeployed = []string{
	".git/", ".hg/", ".svn/", ".DS_Store", ".idea/", "__pycache__/", "*.py[cod]", "*.egg-info/", ".venv/", "venv/",
	"node_modules/", "target/", ".mypy_cache/", ".pytest_cache/", ".ruff_cache/", ".hop3-app", ".hop3-local.toml",
}

// ignore is patterns as git has them: a slash at the end means directories, one
// elsewhere binds the pattern to the top, "!" takes an earlier match back.
type ignore []pattern

type pattern struct {
	glob    string
	dirOnly bool
	bound   bool
	not     bool
}

func newIgnore(more []string) ignore {
	var out ignore
	for _, text := range append(append([]string{}, neverDeployed...), more...) {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		var p pattern
		text, p.not = strings.CutPrefix(text, "!")
		text, p.dirOnly = strings.CutSuffix(text, "/")
		p.bound = strings.Contains(text, "/")
		p.glob = strings.TrimPrefix(text, "/")
		out = append(out, p)
	}
	return out
}

// matches reports whether the last pattern that says something about name
// ignores it.
func (i ignore) matches(name string, isDir bool) bool {
	ignored := false
	for _, p := range i {
		if p.dirOnly && !isDir {
			continue
		}
		if p.match(name) {
			ignored = !p.not
		}
	}
	return ignored
}

func (p pattern) match(name string) bool {
	if !p.bound {
		name = path.Base(name)
	}
	return matchParts(strings.Split(p.glob, "/"), strings.Split(name, "/"))
}

// matchParts matches element by element; "**" stands for any number of them.
func matchParts(glob, name []string) bool {
	if len(glob) == 0 {
		return len(name) == 0
	}
	if glob[0] == "**" {
		return matchParts(glob[1:], name) || len(name) > 0 && matchParts(glob, name[1:])
	}
	if len(name) == 0 {
		return false
	}
	ok, err := path.Match(glob[0], name[0])
	return err == nil && ok && matchParts(glob[1:], name[1:])
}
