package toolchains

import (
	"context"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Ruby))
}

// Ruby builds apps with a Gemfile: Bundler installs the gems, Rails compiles
// its assets. Releases with the same lockfile share the gems.
type Ruby struct {
	programs programs
}

// CaddyModule describes the module.
func (*Ruby) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.ruby", New: func() caddy.Module { return new(Ruby) }}
}

// Name returns "ruby".
func (*Ruby) Name() string { return "ruby" }

// Detect looks for a Gemfile.
func (*Ruby) Detect(src fs.FS) (reason string, ok bool) {
	return first(src, "Gemfile")
}

// Build installs the app's gems and compiles its assets.
func (r *Ruby) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	rb := &rubyBuild{Build: b, src: src, lock: read(src, "Gemfile.lock")}
	if err := r.chooseRuby(ctx, rb); err != nil {
		return hop3.Artifact{}, err
	}
	// The developer's own commands may install what they like.
	rb.gems = filepath.Join(b.Source, ".hop3", "gems")
	artifact := hop3.Artifact{Toolchains: []string{r.Name()}}
	if len(b.Options.Commands) == 0 {
		if err := rb.install(ctx); err != nil {
			return hop3.Artifact{}, err
		}
		if err := rb.assets(ctx); err != nil {
			return hop3.Artifact{}, err
		}
		artifact.Caches = []string{rb.gems}
	}
	artifact.Env = rb.env()
	artifact.PathPrepend = rb.path()
	artifact.Processes = rb.processes()
	return artifact, nil
}

// rubyBuild is one build of a Ruby app.
type rubyBuild struct {
	*hop3.Build
	src     fs.FS
	lock    string // the text of Gemfile.lock
	version string // of Ruby: 3.1.2
	api     string // what compiled gems depend on: 3.1.0
	shared  string // the directories of the server's own gems
	gems    string // the directory of the app's gems
}

const rubySays = `puts RUBY_VERSION, RbConfig::CONFIG["ruby_version"], (Gem.default_path - [Gem.user_dir]).join(":")`

// chooseRuby takes the server's Ruby, when the app does not ask for another.
func (r *Ruby) chooseRuby(ctx context.Context, rb *rubyBuild) error {
	program := find(rb.Build, "ruby")
	if program == "" || find(rb.Build, "bundle") == "" {
		return missing("Ruby with Bundler", "ruby-full ruby-bundler")
	}
	answer, err := r.programs.ask(ctx, rb.Build, nil, program, "-e", rubySays)
	if err != nil {
		return err
	}
	lines := strings.Split(answer, "\n")
	if len(lines) != 3 {
		return hop3.Errorf(hop3.CodeDeploy, "%s does not say which Ruby it is", program)
	}
	rb.version, rb.api, rb.shared = lines[0], lines[1], lines[2]
	if wanted := rubyInGemfile(read(rb.src, "Gemfile")); wanted != "" {
		if !allowed(rb.version, wanted) {
			return hop3.Errorf(hop3.CodeDeploy, "the Gemfile asks for Ruby %s; this server has %s", wanted, rb.version).
				WithHint("Install a Ruby that fits on the server, or change the line 'ruby' of the Gemfile.")
		}
		return nil
	}
	return askedIn(rb.src, "ruby", ".ruby-version").check(rb.Build, "Ruby", rb.version, 2)
}

var (
	rubyLine    = regexp.MustCompile(`(?m)^\s*ruby[\s(]+((?:["'][^"'\n]+["'][\s,]*)+)`)
	quotedWord  = regexp.MustCompile(`["']([^"']+)["']`)
	bareVersion = regexp.MustCompile(`^\d`)
)

// rubyInGemfile returns the versions that the line "ruby" of a Gemfile allows,
// as clauses.
func rubyInGemfile(gemfile string) string {
	m := rubyLine.FindStringSubmatch(gemfile)
	if m == nil {
		return ""
	}
	var clauses []string
	for _, word := range quotedWord.FindAllStringSubmatch(m[1], -1) {
		clause := strings.TrimSpace(word[1])
		if bareVersion.MatchString(clause) {
			clause = "= " + clause
		}
		clauses = append(clauses, clause)
	}
	return strings.Join(clauses, ", ")
}

// uses reports whether a gem is among those of the lockfile, or of the Gemfile
// when there is none.
func (rb *rubyBuild) uses(gem string) bool {
	if rb.lock != "" {
		return regexp.MustCompile(`(?m)^    ` + regexp.QuoteMeta(gem) + ` \(`).MatchString(rb.lock)
	}
	return regexp.MustCompile(`(?m)^\s*gem[\s(]+["']` + regexp.QuoteMeta(gem) + `["']`).MatchString(read(rb.src, "Gemfile"))
}

func (rb *rubyBuild) rails() bool {
	return has(rb.src, "config/application.rb") && (has(rb.src, "bin/rails") || has(rb.src, "Rakefile"))
}

func (rb *rubyBuild) path() []string { return []string{filepath.Join(rb.gems, "bin")} }

// env has gems installed in a directory of ours, beside which the server's own
// are seen. The settings that Bundler keeps in .bundle are those of the
// developer's machine, so it looks elsewhere.
func (rb *rubyBuild) env() hop3.Env {
	env := hop3.Env{
		"GEM_HOME":                    rb.gems,
		"GEM_PATH":                    joinPath([]string{rb.gems, rb.shared}),
		"BUNDLE_PATH__SYSTEM":         "true",
		"BUNDLE_APP_CONFIG":           filepath.Join(rb.gems, "bundle"),
		"BUNDLE_WITHOUT":              rb.own("BUNDLE_WITHOUT", "development:test"),
		"BUNDLE_SILENCE_ROOT_WARNING": "true",
		"RACK_ENV":                    rb.own("RACK_ENV", "production"),
	}
	if len(rb.Options.Commands) == 0 {
		env["BUNDLE_FROZEN"] = "true"
	}
	if rb.rails() {
		env["RAILS_ENV"] = rb.own("RAILS_ENV", env["RACK_ENV"])
		env["RAILS_LOG_TO_STDOUT"] = rb.own("RAILS_LOG_TO_STDOUT", "true")
		env["RAILS_SERVE_STATIC_FILES"] = rb.own("RAILS_SERVE_STATIC_FILES", "true")
		// A release cannot be written to while it runs.
		env["BOOTSNAP_CACHE_DIR"] = rb.own("BOOTSNAP_CACHE_DIR", "/tmp/bootsnap")
	}
	return env
}

// own is the app's own value of a variable, else ours.
func (rb *rubyBuild) own(key, value string) string {
	if own := rb.Env[key]; own != "" {
		return own
	}
	return value
}

// assets compiles what Rails serves to browsers. That needs no secret, but
// Rails does not start without one.
func (rb *rubyBuild) assets(ctx context.Context) error {
	if !rb.rails() || !slices.ContainsFunc([]string{"sprockets", "sprockets-rails", "propshaft"}, rb.uses) {
		return nil
	}
	args := []string{"bundle", "exec", "rake", "assets:precompile"}
	if has(rb.src, "bin/rails") {
		args = []string{"ruby", "bin/rails", "assets:precompile"}
	}
	say(rb.Build, "-----> Compiling the assets")
	return rb.Runner.Run(ctx, hop3.Command{
		Args: args,
		Env:  rb.env().Merge(hop3.Env{"SECRET_KEY_BASE": rb.own("SECRET_KEY_BASE", "only-to-compile-assets"), "SECRET_KEY_BASE_DUMMY": "1"}),
		Path: rb.path(),
	})
}

// processes offers what serves the app's rackup file, the declared one first:
// uWSGI, else Puma or rackup. Rails is made for Puma, which reads the app's own
// config/puma.rb; `rails server` would write to the release.
func (rb *rubyBuild) processes() []hop3.Process {
	const address = "${BIND_ADDRESS:-127.0.0.1}"
	file, count := "config.ru", 1
	i := slices.IndexFunc(rb.Options.Processes, func(p hop3.Process) bool { return p.Type == hop3.ProcessRWSGI })
	switch {
	case i >= 0:
		declared := rb.Options.Processes[i]
		if file, count = declared.Command, declared.Count; !has(rb.src, file) {
			return nil
		}
	case !webless(rb.Build) || !has(rb.src, file):
		return nil
	}
	command := "bundle exec rackup --host " + address + " --port $PORT " + quote(file)
	if rb.uses("puma") {
		command = "bundle exec puma --bind tcp://" + address + ":$PORT --pidfile /tmp/puma-$PORT.pid " + quote(file)
	}
	if i < 0 && rb.rails() {
		return []hop3.Process{{Type: hop3.ProcessWeb, Command: command, Count: 1}}
	}
	return []hop3.Process{{Type: hop3.ProcessRWSGI, Module: file, Command: command, Count: count}}
}

var (
	_ hop3.Toolchain = (*Ruby)(nil)
	_ caddy.Module   = (*Ruby)(nil)
)
