package cli

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// neverDeployed is what no deploy needs: version control, editors, and what
// the server builds for itself.
var neverDeployed = []string{
	".git", ".hg/", ".svn/", ".DS_Store", ".idea/", "__pycache__/", "*.py[cod]", "*.egg-info/", ".venv/", "venv/",
	"node_modules/", "target/", ".mypy_cache/", ".pytest_cache/", ".ruff_cache/", ".hop3-app", ".hop3-local.toml",
}

const (
	gitIgnore  = ".gitignore"
	hop3Ignore = ".hop3ignore"
)

// ignore is what of a directory is left out: lists of patterns as git has them
// (gitignore(5)), of which the last one that says something about a name
// decides. A file in a directory that is left out cannot be brought back.
type ignore struct {
	root string
	// nested are the .gitignore files of the tree itself, read as their
	// directories are reached: over first, and below last.
	first, nested, last []list
}

// list is the patterns of one file.
type list struct {
	// base is the directory of the file, within the tree, "" for its root;
	// above is the way from it to the root when it is one above.
	base, above string
	patterns    []pattern
}

// pattern is a line: a slash at the end means directories, one elsewhere binds
// the pattern to the file's own directory, "!" takes an earlier match back.
type pattern struct {
	parts   []string
	dirOnly bool
	bound   bool
	not     bool
}

// newIgnore reads what is left out of a directory for all of it. deprecated
// says that it was the older file that did.
func newIgnore(root string, build []string) (i *ignore, deprecated bool, err error) {
	i = &ignore{root: root, first: []list{{patterns: parsePatterns(neverDeployed)}}}
	above, err := ignoredAbove(root)
	if err != nil {
		return nil, false, err
	}
	i.first = append(i.first, above...)
	if len(build) == 0 {
		lines, err := readLines(filepath.Join(root, hop3Ignore))
		if err != nil {
			return nil, false, err
		}
		build, deprecated = lines, len(lines) > 0
	}
	i.last = []list{{patterns: parsePatterns(build)}}
	return i, deprecated, nil
}

// ignoredAbove reads the lists of the directories above root in its git
// repository, from the top, and the repository's own.
func ignoredAbove(root string) ([]list, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	var lists []list // from root upwards
	for dir, above := root, ""; ; dir, above = filepath.Dir(dir), path.Join(filepath.Base(dir), above) {
		if dir != root {
			lines, err := readLines(filepath.Join(dir, gitIgnore))
			if err != nil {
				return nil, err
			}
			lists = append([]list{{above: above, patterns: parsePatterns(lines)}}, lists...)
		}
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			lines, err := readLines(filepath.Join(dir, ".git", "info", "exclude"))
			return append([]list{{above: above, patterns: parsePatterns(lines)}}, lists...), err
		}
		if dir == filepath.Dir(dir) {
			return nil, nil // no repository: what lies above is nobody's business
		}
	}
}

// enter reads the .gitignore of a directory of the tree, "" for its root.
func (i *ignore) enter(dir string) error {
	lines, err := readLines(filepath.Join(i.root, filepath.FromSlash(dir), gitIgnore))
	if patterns := parsePatterns(lines); len(patterns) > 0 {
		i.nested = append(i.nested, list{base: dir, patterns: patterns})
	}
	return err
}

// matches reports whether a name, whose directory was entered, is left out.
func (i *ignore) matches(name string, isDir bool) bool {
	ignored := false
	for _, lists := range [][]list{i.first, i.nested, i.last} {
		for _, l := range lists {
			rel, within := l.relative(name)
			if !within {
				continue
			}
			for _, p := range l.patterns {
				if (isDir || !p.dirOnly) && p.match(rel) {
					ignored = !p.not
				}
			}
		}
	}
	return ignored
}

// relative returns a name as seen from the list's directory.
func (l list) relative(name string) (string, bool) {
	if l.base == "" {
		return path.Join(l.above, name), true
	}
	return strings.CutPrefix(name, l.base+"/")
}

// readLines returns the lines of a file, none when there is no such file.
func readLines(file string) ([]string, error) {
	if info, err := os.Lstat(file); err == nil && !info.Mode().IsRegular() {
		return nil, nil // git follows no link here either
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	return strings.Split(strings.TrimPrefix(string(content), "\ufeff"), "\n"), err
}

func parsePatterns(lines []string) []pattern {
	var out []pattern
	for _, text := range lines {
		text = trimBlanks(strings.TrimSuffix(text, "\r"))
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		var p pattern
		text, p.not = strings.CutPrefix(text, "!")
		text, p.dirOnly = strings.CutSuffix(text, "/")
		p.bound = strings.Contains(text, "/")
		if text = strings.TrimPrefix(text, "/"); text == "" {
			continue
		}
		// What git writes [!a], Go's matcher writes [^a].
		p.parts = strings.Split(strings.ReplaceAll(text, "[!", "[^"), "/")
		out = append(out, p)
	}
	return out
}

// trimBlanks takes the blanks off the end, but for one that is escaped.
func trimBlanks(text string) string {
	for strings.HasSuffix(text, " ") && !strings.HasSuffix(text, `\ `) {
		text = text[:len(text)-1]
	}
	return text
}

func (p pattern) match(name string) bool {
	if !p.bound {
		name = path.Base(name)
	}
	return matchParts(p.parts, strings.Split(name, "/"))
}

// matchParts matches element by element; "**" stands for any number of them, at
// the end for at least one.
func matchParts(glob, name []string) bool {
	if len(glob) == 0 {
		return len(name) == 0
	}
	if glob[0] == "**" {
		if len(glob) == 1 {
			return len(name) > 0
		}
		return matchParts(glob[1:], name) || len(name) > 0 && matchParts(glob, name[1:])
	}
	if len(name) == 0 {
		return false
	}
	ok, err := path.Match(glob[0], name[0])
	return err == nil && ok && matchParts(glob[1:], name[1:])
}
