package toolchains

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// packageManager is how one of npm, yarn and pnpm installs.
type packageManager struct {
	lockfile string   // "" when there is none
	argv     []string // installs everything
	prune    []string // added when only what runs is needed
	tool     string   // what to install first, as npm names it
}

// packageManager returns the one that wrote the app's lockfile.
func (nb *nodeBuild) packageManager() packageManager {
	switch lockfile, _ := first(nb.src, "npm-shrinkwrap.json", "package-lock.json", "pnpm-lock.yaml", "yarn.lock"); lockfile {
	case "pnpm-lock.yaml":
		return packageManager{lockfile, []string{"pnpm", "install", "--frozen-lockfile", "--reporter=append-only", "--store-dir", filepath.Join(nb.Cache, "pnpm")}, []string{"--prod"}, nb.pnpm()}
	case "yarn.lock":
		return nb.yarn()
	case "":
		return packageManager{"", []string{"npm", "install", "--no-package-lock", "--include=dev"}, []string{"--omit=dev"}, ""}
	default:
		return packageManager{lockfile, []string{"npm", "ci", "--include=dev"}, []string{"--omit=dev"}, ""}
	}
}

// bun refuses an app whose packages only Bun has locked: others would install
// other versions.
func (nb *nodeBuild) bun() error {
	lockfile, ok := first(nb.src, "bun.lock", "bun.lockb")
	if _, other := first(nb.src, "npm-shrinkwrap.json", "package-lock.json", "pnpm-lock.yaml", "yarn.lock"); !ok || other || len(nb.Options.Commands) > 0 {
		return nil
	}
	return hop3.Errorf(hop3.CodeDeploy, "the app's packages are locked for Bun (%s), which this server does not build with", lockfile).
		WithHint("Commit a package-lock.json too (`npm install --package-lock-only` makes it), or say how to build in [build].build of hop3.toml.")
}

var declaredManager = regexp.MustCompile(`^(yarn|pnpm)@(\d+\.\d+\.\d+)(\+.*)?$`)

// declared returns the version that package.json names of a package manager.
func (nb *nodeBuild) declared(name string) string {
	if m := declaredManager.FindStringSubmatch(nb.pkg.PackageManager); m != nil && m[1] == name {
		return m[2]
	}
	return ""
}

func (nb *nodeBuild) pnpm() string {
	if version := nb.declared("pnpm"); version != "" {
		return "pnpm@" + version
	}
	if strings.Contains(read(nb.src, "pnpm-lock.yaml"), "lockfileVersion: '9") {
		return "pnpm@10"
	}
	return "pnpm@8"
}

// yarn is the classic one unless the lockfile is of the modern kind.
func (nb *nodeBuild) yarn() packageManager {
	if !strings.Contains(read(nb.src, "yarn.lock"), "__metadata:") {
		return packageManager{"yarn.lock",
			[]string{"yarn", "install", "--frozen-lockfile", "--non-interactive", "--production=false"}, []string{"--production=true"}, "yarn@1.22.22"}
	}
	version := nb.declared("yarn")
	if version == "" {
		version = "4"
	}
	return packageManager{"yarn.lock", []string{"yarn", "install", "--immutable"}, nil, "@yarnpkg/cli-dist@" + version}
}

// install fills node_modules: from the cache when an earlier release had the
// same lockfile.
func (nb *nodeBuild) install(ctx context.Context) error {
	m := nb.packageManager()
	argv := m.argv
	if nb.pkg.Scripts["build"] == "" {
		argv = append(slices.Clone(argv), m.prune...)
	}
	modules := filepath.Join(nb.Source, "node_modules")
	if exists(modules) {
		say(nb.Build, "-----> Using the source's own node_modules")
		return nil
	}
	if m.lockfile == "" {
		if err := noLock(nb.Build, "package-lock.json"); err != nil {
			return err
		}
	}
	if !nb.cacheable() {
		return nb.installHere(ctx, m, argv)
	}
	words := append([]string{"1", nb.version}, argv...)
	key, err := fingerprint(nb.src, words, nb.lockName(m), "package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml")
	if err != nil {
		return err
	}
	filled := false
	dir, err := entry(ctx, nb.Build, "modules", key, func(dir string) error {
		filled = true
		if err := nb.installHere(ctx, m, argv); err != nil {
			return err
		}
		err := os.Rename(modules, filepath.Join(dir, "node_modules"))
		if errors.Is(err, fs.ErrNotExist) {
			return os.Mkdir(filepath.Join(dir, "node_modules"), 0o755) // no packages at all
		}
		return err
	})
	if err != nil {
		return err
	}
	if !filled {
		say(nb.Build, "-----> Dependencies unchanged (%s): using the cached node_modules", nb.lockName(m))
	}
	nb.caches = append(nb.caches, dir)
	return nb.use(filepath.Join(dir, "node_modules"), modules)
}

// use puts cached modules into the release. A build may write beside its
// modules, so it gets its own tree of hard links; the others share one.
func (nb *nodeBuild) use(cached, modules string) error {
	if nb.pkg.Scripts["build"] == "" {
		if err := os.Symlink(cached, modules); err != nil {
			return fmt.Errorf("linking node_modules: %w", err)
		}
		return nil
	}
	if err := linkTree(cached, modules); err != nil {
		return fmt.Errorf("copying node_modules: %w", err)
	}
	return nil
}

func (nb *nodeBuild) lockName(m packageManager) string {
	if m.lockfile == "" {
		return "package.json"
	}
	return m.lockfile
}

// installHere installs in the release.
func (nb *nodeBuild) installHere(ctx context.Context, m packageManager, argv []string) error {
	if m.tool != "" {
		if err := nb.addTool(ctx, m.tool); err != nil {
			return err
		}
	}
	say(nb.Build, "-----> Installing dependencies with Node %s (%s)", nb.version, nb.lockName(m))
	env := nb.env().Merge(hop3.Env{"YARN_NODE_LINKER": "node-modules", "YARN_ENABLE_GLOBAL_CACHE": "false"})
	return nb.Runner.Run(ctx, hop3.Command{Args: argv, Env: env, Path: append(nb.tools, nb.path()...)})
}

// cacheable reports whether node_modules depends on nothing but the lockfile:
// neither on packages of the source itself nor on what install scripts of the
// app do.
func (nb *nodeBuild) cacheable() bool {
	if len(nb.pkg.Workspaces) > 0 || strings.Contains(read(nb.src, "pnpm-workspace.yaml"), "packages:") {
		return false
	}
	for _, script := range []string{"preinstall", "install", "postinstall", "prepare", "prepublish"} {
		if nb.pkg.Scripts[script] != "" {
			return false
		}
	}
	local := func(version string) bool {
		return slices.ContainsFunc([]string{"file:", "link:", "portal:", "workspace:", "patch:", "./", "../", "/", "~/"},
			func(prefix string) bool { return strings.HasPrefix(version, prefix) })
	}
	for _, list := range []map[string]string{nb.pkg.Dependencies, nb.pkg.DevDependencies, nb.pkg.Optional} {
		if slices.ContainsFunc(slices.Collect(maps.Values(list)), local) {
			return false
		}
	}
	return true
}

// addTool makes a package manager available to the build.
func (nb *nodeBuild) addTool(ctx context.Context, pkg string) error {
	key, err := fingerprint(nb.src, []string{pkg, nb.version})
	if err != nil {
		return err
	}
	dir, err := entry(ctx, nb.Build, "tool", key, func(dir string) error {
		say(nb.Build, "-----> Installing %s", pkg)
		return nb.npmTool(ctx, dir, pkg)
	})
	nb.tools = append(nb.tools, filepath.Join(dir, "node_modules", ".bin"))
	return err
}

// npmTool installs a program into a directory of its own.
func (nb *nodeBuild) npmTool(ctx context.Context, dir, pkg string) error {
	return nb.Runner.Run(ctx, hop3.Command{
		Dir:  dir,
		Args: []string{"npm", "install", "--prefix", dir, "--no-save", "--no-package-lock", pkg},
		Env:  nb.env(),
	})
}

// linkTree makes a copy of a tree that shares the files' contents.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(name, from))
		switch {
		case d.IsDir():
			return os.Mkdir(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(name)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		default:
			return os.Link(name, target)
		}
	})
}

// quote makes one word of the shell of text.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
