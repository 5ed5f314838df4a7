// Package nix builds releases with Nix: what the app's hop3.nix evaluates to is
// built, and its result in /nix/store is what runs, as other apps do.
//
// Evaluating and building are done as the app's user, by way of Nix's daemon,
// which has the store. Each release's result is a root of Nix's garbage
// collector: the link .hop3-nix in the release's directory, which goes with it.
package nix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/build"
	"github.com/abilian/hop3/hop3/sandbox"
)

func init() {
	caddy.RegisterModule(new(Builder))
}

// Builder is the Caddy module hop3.builders.nix.
type Builder struct {
	// Memory caps what evaluating uses, in bytes; what the daemon builds is
	// the daemon's. Default: three quarters of the machine's.
	Memory int64 `json:"memory,omitempty"`

	sandbox *sandbox.Sandbox
}

const (
	expression = "hop3.nix"
	// root is the link by which the garbage collector knows a release.
	root         = ".hop3-nix"
	daemonSocket = "/nix/var/nix/daemon-socket/socket"
	storeDir     = "/nix/store/"
)

// CaddyModule describes the module.
func (*Builder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.builders.nix", New: func() caddy.Module { return new(Builder) }}
}

// UseSandbox has builds run as their app's user. It is called before the first
// build.
func (b *Builder) UseSandbox(s *sandbox.Sandbox) { b.sandbox = s }

// Name returns "nix".
func (*Builder) Name() string { return "nix" }

// Accept takes a source with a hop3.nix, and an app that names a template,
// where there is Nix.
func (b *Builder) Accept(_ context.Context, req hop3.BuildRequest) (reason string, ok bool) {
	if req.Options.Nix.Template != "" {
		return "[nix].template", true // the build says what there is to say
	}
	if !hasExpression(req.Source) {
		return "there is no " + expression, false
	}
	if err := b.missing(); err != nil {
		if req.Out != nil {
			req.Out.Log(hop3.LogLine{Level: 1, Color: "yellow", Time: time.Now(),
				Text: "       Warning: " + expression + " is not used: " + hop3.MessageOf(err)})
		}
		return "the source has a " + expression + ", and " + hop3.MessageOf(err) + ". " + err.Hint, false
	}
	return expression, true
}

func hasExpression(src string) bool {
	dir, err := os.OpenRoot(src)
	if err != nil {
		return false
	}
	defer dir.Close()
	info, err := dir.Lstat(expression)
	return err == nil && info.Mode().IsRegular()
}

// missing says what of Nix is not there.
func (b *Builder) missing() *hop3.Error {
	const how = "Its admin can install it with its daemon: apt-get install nix-bin nix-setup-systemd"
	for _, program := range []string{"nix-build", "nix-store"} {
		if _, err := exec.LookPath(program); err != nil {
			return hop3.Errorf(hop3.CodeDeploy, "Nix is not installed on this server").WithHint("%s", how)
		}
	}
	if !hasDaemon() && b.sandbox.Isolation() == nil {
		return hop3.Errorf(hop3.CodeDeploy, "Nix has no daemon on this server, without which the users of apps cannot build").WithHint("%s", how)
	}
	return nil
}

func hasDaemon() bool {
	info, err := os.Stat(daemonSocket)
	return err == nil && info.Mode()&fs.ModeSocket != 0
}

// Build evaluates and builds the app's expression.
func (b *Builder) Build(ctx context.Context, req hop3.BuildRequest) (artifact hop3.Artifact, err error) {
	if err := checkTemplate(req.Options.Nix); err != nil && !hasExpression(req.Source) {
		return hop3.Artifact{}, err
	}
	if err := b.missing(); err != nil {
		err.Message = "the app is to be built with Nix: " + err.Message
		return hop3.Artifact{}, err
	}
	job, err := build.Begin(req, b.Name(), build.Place{Sandbox: b.sandbox, Memory: b.Memory})
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer func() {
		err = job.End(err)
	}()
	home := filepath.Join(req.CacheDir, "home")
	if err := job.MakeDir(home); err != nil {
		return hop3.Artifact{}, err
	}
	job.Runner.Env = build.Environ(home, req.Env.Merge(remote()))
	d := &derivation{request: req, job: job}
	return d.make(ctx)
}

// remote has programs of Nix ask the daemon.
func remote() hop3.Env {
	if hasDaemon() {
		return hop3.Env{"NIX_REMOTE": "daemon"}
	}
	return nil
}

// derivation is one build under way.
type derivation struct {
	request hop3.BuildRequest
	job     *build.Job
}

func (d *derivation) make(ctx context.Context) (hop3.Artifact, error) {
	o := d.request.Options
	if o.Toolchain != "" || len(o.Commands) > 0 {
		d.job.Warn("toolchain and build of [build] have no effect: %s says how the app is built", expression)
	}
	if o.Nix.Template != "" {
		d.job.Warn("[nix].template has no effect: the app has its own %s", expression)
	}
	if err := d.job.Commands(ctx, "before-build", d.request.Before); err != nil {
		return hop3.Artifact{}, err
	}
	if !hasExpression(d.request.Source) {
		return hop3.Artifact{}, hop3.Errorf(hop3.CodeDeploy, "the app is to be built with Nix, and its source has no %s", expression).
			WithHint("Add one, or take builder = \"nix\" out of hop3.toml.")
	}
	d.job.Say("-----> Building %s with Nix", expression)
	link := filepath.Join(d.request.Source, root)
	err := d.job.Runner.Run(ctx, hop3.Command{Args: []string{"nix-build", "--out-link", link, filepath.Join(d.request.Source, expression)}})
	if err != nil {
		return hop3.Artifact{}, err
	}
	if err := d.job.Commands(ctx, "after-build", d.request.After); err != nil {
		return hop3.Artifact{}, err
	}
	var result *result
	err = d.job.As(func() error {
		path, err := onlyResult(link)
		if err == nil {
			result, err = readResult(path)
		}
		return err
	})
	if err != nil {
		return hop3.Artifact{}, err
	}
	if len(result.unused) > 0 {
		d.job.Warn("of runtime.json this server does not use: %s", strings.Join(result.unused, ", "))
	}
	return result.artifact(d.request), nil
}

// storePath is the path of something in the store.
var storePath = regexp.MustCompile(`^/nix/store/[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+._?=-]+$`)

// onlyResult returns what was built.
func onlyResult(link string) (string, error) {
	if _, err := os.Lstat(link + "-2"); err == nil {
		return "", hop3.Errorf(hop3.CodeDeploy, "%s makes several results, and a release is one", expression).
			WithHint("Let it evaluate to one derivation: pkgs.buildEnv joins several.")
	}
	path, err := os.Readlink(link)
	if err != nil {
		return "", fmt.Errorf("finding what Nix has built: %w", err)
	}
	if !storePath.MatchString(path) {
		return "", hop3.Errorf(hop3.CodeDeploy, "what Nix has built is at %s, which is not in its store", build.Clean(path))
	}
	return path, nil
}

// Verify makes sure that all a release needs of the store is there.
func (b *Builder) Verify(ctx context.Context, a hop3.Artifact) error {
	needs := storePaths(a)
	if len(needs) == 0 {
		return nil
	}
	if err := b.missing(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "nix-store", append([]string{"--query", "--requisites"}, needs...)...)
	cmd.Env = append(os.Environ(), remote().Environ()...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err == nil {
		for path := range strings.Lines(string(out)) {
			if _, e := os.Lstat(strings.TrimSpace(path)); e != nil {
				err = errors.Join(err, e)
			}
		}
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return hop3.Errorf(hop3.CodeDeploy, "the release is not whole in Nix's store: %w: %s", err, build.Clean(lines[len(lines)-1])).
			WithHint("Push the app again, which builds what is missing.")
	}
	return nil
}

// inStore finds the paths of the store in a command.
var inStore = regexp.MustCompile(`/nix/store/[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+._?=-]+`)

// storePaths are the paths of the store that a release was built into.
func storePaths(a hop3.Artifact) []string {
	if !slices.Contains(a.Toolchains, "nix") {
		return nil
	}
	paths := map[string]bool{}
	texts := slices.Clone(a.PathPrepend)
	for _, p := range a.Processes {
		texts = append(texts, p.Command)
	}
	for _, value := range a.Env {
		texts = append(texts, value)
	}
	for _, text := range texts {
		for _, path := range inStore.FindAllString(text, -1) {
			paths[path] = true
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

var (
	_ hop3.Builder  = (*Builder)(nil)
	_ hop3.Verifier = (*Builder)(nil)
)
