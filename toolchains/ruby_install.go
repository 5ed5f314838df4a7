package toolchains

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// install makes the directory of the app's gems, or finds the one that an
// earlier release with the same lockfile made.
func (rb *rubyBuild) install(ctx context.Context) error {
	lockfile := "Gemfile.lock"
	if rb.lock == "" {
		if err := noLock(rb.Build, lockfile); err != nil {
			return err
		}
	}
	files := []string{"Gemfile", lockfile}
	gemspecs, _ := fs.Glob(rb.src, "*.gemspec")
	words := []string{"1", rb.version, rb.api, rb.shared, rb.env()["BUNDLE_WITHOUT"]}
	key, err := fingerprint(rb.src, words, append(files, gemspecs...)...)
	if err != nil {
		return err
	}
	filled := false
	rb.gems, err = entry(ctx, rb.Build, "gems", key, func(dir string) error {
		filled = true
		rb.gems = dir
		return rb.bundle(ctx)
	})
	if err != nil {
		return err
	}
	if !filled {
		say(rb.Build, "-----> Gems unchanged (Gemfile.lock): using the cached ones")
	}
	if rb.lock != "" {
		return nil
	}
	// The app runs with the versions that were chosen for it.
	made, err := os.ReadFile(filepath.Join(rb.gems, lockfile))
	if err == nil {
		err = os.WriteFile(filepath.Join(rb.Source, lockfile), made, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keeping the Gemfile.lock: %w", err)
	}
	rb.lock = string(made)
	return nil
}

// bundle installs the gems. Without a lockfile Bundler writes one.
func (rb *rubyBuild) bundle(ctx context.Context) error {
	env := rb.env().Merge(hop3.Env{"BUNDLE_USER_HOME": filepath.Join(rb.Cache, "bundler"), "BUNDLE_JOBS": "4"})
	if rb.lock == "" {
		env["BUNDLE_FROZEN"] = "false"
	}
	say(rb.Build, "-----> Installing gems with Ruby %s", rb.version)
	err := rb.Runner.Run(ctx, hop3.Command{Args: []string{"bundle", "install"}, Env: env, Path: rb.path()})
	if err != nil {
		return rb.explain(ctx, env, err)
	}
	if rb.lock != "" {
		return nil
	}
	made, err := os.ReadFile(filepath.Join(rb.Source, "Gemfile.lock"))
	if err == nil {
		err = os.WriteFile(filepath.Join(rb.gems, "Gemfile.lock"), made, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keeping the Gemfile.lock: %w", err)
	}
	return nil
}

// bundlerSays names the gems that are not installed, one a line, or says in one
// line what is wrong with the Gemfile.
const bundlerSays = `
begin
  puts Bundler.definition.missing_specs.map(&:full_name)
rescue Bundler::BundlerError => e
  puts e.message.lines.first
end`

// explain says which gems are the reason that Bundler failed: it prints that
// between much else, or only that a registry cannot be reached.
func (rb *rubyBuild) explain(ctx context.Context, env hop3.Env, failure error) error {
	answer, err := rb.Runner.Output(ctx, hop3.Command{Args: []string{"ruby", "-rbundler", "-e", bundlerSays}, Env: env, Path: rb.path()})
	lines := strings.Split(strings.TrimSpace(answer), "\n")
	if err != nil || ctx.Err() != nil || lines[0] == "" {
		return failure
	}
	const most = 5
	if len(lines) > most {
		lines = append(lines[:most], "and others")
	}
	return hop3.Errorf(hop3.CodeDeploy, "the app's gems cannot be installed: %w", failure).
		WithHint("Missing: %s. The lines above say why.", strings.TrimSuffix(strings.Join(lines, ", "), "."))
}
