package toolchains

import (
	"context"
	"encoding/json"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(PHP))
}

// PHP builds apps of PHP scripts, with the packages of composer.json when there
// is one. Composer's list of classes has the release's own paths in it, so
// releases share what is downloaded, not the directory vendor.
type PHP struct {
	programs programs
}

// CaddyModule describes the module.
func (*PHP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.php", New: func() caddy.Module { return new(PHP) }}
}

// Name returns "php".
func (*PHP) Name() string { return "php" }

// Detect looks for a composer.json, or a script at the root.
func (*PHP) Detect(src fs.FS) (reason string, ok bool) {
	if reason, ok := first(src, "composer.json", "index.php"); ok {
		return reason, true
	}
	scripts, _ := fs.Glob(src, "*.php")
	return first(src, scripts...)
}

// Build installs the app's packages.
func (p *PHP) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	var project composerJSON
	if text := read(src, "composer.json"); text != "" {
		if err := json.Unmarshal([]byte(text), &project); err != nil {
			return hop3.Artifact{}, hop3.Errorf(hop3.CodeDeploy, "composer.json is not valid: %w", err)
		}
	}
	if err := p.check(ctx, b, src, project); err != nil {
		return hop3.Artifact{}, err
	}
	if len(b.Options.Commands) == 0 {
		if err := p.install(ctx, b, src); err != nil {
			return hop3.Artifact{}, err
		}
	}
	return hop3.Artifact{
		Toolchains:  []string{p.Name()},
		PathPrepend: []string{filepath.Join(b.Source, "vendor", "bin")},
		Processes:   phpProcesses(b, src),
	}, nil
}

// composerJSON is what Hop3 reads of a composer.json.
type composerJSON struct {
	Require map[string]string `json:"require"`
}

const phpSays = `echo PHP_VERSION, "\n", strtolower(implode(" ", str_replace(" ", "-", get_loaded_extensions())));`

// check compares what the app asks for with the server's PHP.
func (p *PHP) check(ctx context.Context, b *hop3.Build, src fs.FS, project composerJSON) error {
	program := find(b, "php")
	if program == "" {
		return missing("PHP", "php-cli")
	}
	answer, err := p.programs.ask(ctx, b, nil, program, "-d", "display_startup_errors=0", "-r", phpSays)
	if err != nil {
		return err
	}
	version, extensions, _ := strings.Cut(answer, "\n")
	if wanted := project.Require["php"]; !allowedByComposer(version, wanted) {
		return hop3.Errorf(hop3.CodeDeploy, "composer.json asks for PHP %s; this server has %s", wanted, version).
			WithHint("Install a PHP that fits on the server, or change require.php of composer.json.")
	}
	for _, name := range slices.Sorted(maps.Keys(project.Require)) {
		extension, is := strings.CutPrefix(strings.ToLower(name), "ext-")
		if is && !slices.Contains(strings.Fields(extensions), extension) {
			return missing("PHP's extension "+extension, "php-"+extension)
		}
	}
	return askedIn(src, "php", ".php-version").check(b, "PHP", version, 2)
}

var (
	composerOr    = regexp.MustCompile(`\s*\|\|?\s*`)
	composerRange = regexp.MustCompile(`^\s*(\S+)\s+-\s+(\S+)\s*$`)
	composerSpace = regexp.MustCompile(`(\d|\*)\s+`)
	composerTilde = regexp.MustCompile(`^~(\d)`)
)

// allowedByComposer reports whether a version is within bounds such as
// "^7.4 || ~8.1.0", "8.2.*" or "8.1 - 8.3".
func allowedByComposer(version, bounds string) bool {
	for _, part := range composerOr.Split(bounds, -1) {
		if m := composerRange.FindStringSubmatch(part); m != nil {
			// The upper end stands for all versions that begin with it.
			if allowed(version, ">="+m[1]) && (allowed(version, "<="+m[2]) || allowed(version, "=="+m[2]+".*")) {
				return true
			}
			continue
		}
		var clauses []string
		for _, clause := range strings.Split(composerSpace.ReplaceAllString(strings.TrimSpace(part), "$1,"), ",") {
			clause = composerTilde.ReplaceAllString(strings.TrimSpace(clause), "~>$1")
			if bareVersion.MatchString(clause) {
				clause = "==" + clause
			}
			clauses = append(clauses, clause)
		}
		if allowed(version, strings.Join(clauses, ",")) {
			return true
		}
	}
	return false
}

// install has Composer install the packages, unless the source brings them.
func (p *PHP) install(ctx context.Context, b *hop3.Build, src fs.FS) error {
	if !has(src, "composer.json") {
		return nil
	}
	if has(src, "vendor/autoload.php") {
		say(b, "-----> Using the source's own vendor")
		return nil
	}
	if find(b, "composer") == "" {
		return missing("Composer", "composer")
	}
	if !has(src, "composer.lock") {
		if err := noLock(b, "composer.lock"); err != nil {
			return err
		}
	}
	say(b, "-----> Installing packages with Composer")
	return b.Runner.Run(ctx, hop3.Command{
		Args: []string{"composer", "install", "--no-dev", "--no-interaction", "--no-progress", "--optimize-autoloader"},
		Env: hop3.Env{
			"COMPOSER_HOME":            filepath.Join(b.Cache, "home"),
			"COMPOSER_CACHE_DIR":       filepath.Join(b.Cache, "composer"),
			"COMPOSER_ALLOW_SUPERUSER": "1",
		},
	})
}

// phpProcesses offers to serve the directory public, or the scripts at the
// root. What is beside public must not be served, and where there is no page
// nothing is.
func phpProcesses(b *hop3.Build, src fs.FS) []hop3.Process {
	dir := "."
	scripts, _ := fs.Glob(src, "*.php")
	switch {
	case !webless(b):
		return nil
	case has(src, "public/index.php"):
		dir = "public"
	case len(scripts) == 0:
		return nil
	}
	return []hop3.Process{{
		Type: hop3.ProcessPHP, Module: dir, Count: 1,
		Command: "php -S ${BIND_ADDRESS:-127.0.0.1}:$PORT -t ./" + dir,
	}}
}

var (
	_ hop3.Toolchain = (*PHP)(nil)
	_ caddy.Module   = (*PHP)(nil)
)
