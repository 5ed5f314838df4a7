package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/build"
)

func init() {
	caddy.RegisterModule(new(Builder))
}

// Builder builds the image that a Dockerfile describes, or takes one by
// reference: the Caddy module hop3.builders.docker.
type Builder struct {
	engine *Engine
	pauses []time.Duration // before each further attempt; nil: those of retries
}

const (
	pullTime     = 10 * time.Minute
	standardPort = 8080
)

// retries are the pauses before further attempts.
var retries = []time.Duration{5 * time.Second, 15 * time.Second}

// CaddyModule describes the module.
func (*Builder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.builders.docker", New: func() caddy.Module { return new(Builder) }}
}

// UseEngine has images built by an engine. It is called before the first build.
func (b *Builder) UseEngine(e *Engine) { b.engine = e }

// Name returns "docker".
func (*Builder) Name() string { return "docker" }

// Accept takes a source with a Dockerfile, and an app that names an image,
// where there is an engine. Without one a language that is recognised is
// another way to build it: who deploys is told. One that only does not answer
// is waited for: an app is not built in two ways by turns.
func (b *Builder) Accept(ctx context.Context, req hop3.BuildRequest) (reason string, ok bool) {
	what := "[docker].image"
	if req.Options.Docker.Image == "" {
		if what = "Dockerfile"; !hasDockerfile(req.Source) {
			return "there is no Dockerfile", false
		}
	}
	err := b.engine.Missing(ctx)
	if err != nil && (b.engine.installed() || req.Options.Docker.Image != "") {
		return what, true // there is no other way: the build says what is missing
	}
	if err != nil {
		if req.Out != nil {
			req.Out.Log(hop3.LogLine{Level: 1, Color: "yellow", Time: time.Now(),
				Text: fmt.Sprintf("       Warning: the Dockerfile is not used: this server has no Docker engine (%v)", err)})
		}
		return fmt.Sprintf("the source has a Dockerfile, and this server has no Docker engine (%v). Its admin can install one: apt-get install docker.io", err), false
	}
	return what, true
}

func hasDockerfile(src string) bool {
	root, err := os.OpenRoot(src)
	if err != nil {
		return false
	}
	defer root.Close()
	info, err := root.Lstat("Dockerfile")
	return err == nil && info.Mode().IsRegular()
}

// Build builds, or pulls, the image, and tags it for the release.
func (b *Builder) Build(ctx context.Context, req hop3.BuildRequest) (artifact hop3.Artifact, err error) {
	if missing := b.engine.Missing(ctx); missing != nil {
		return hop3.Artifact{}, hop3.Errorf(hop3.CodeDeploy, "the app is to be built with Docker, and this server has no Docker engine: %w", missing).
			WithHint("Let the server's admin install or start one (apt-get install docker.io, systemctl start docker), or say builder = \"local\" in the [build] section of hop3.toml.")
	}
	job, err := build.Begin(req, b.Name(), build.Place{})
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer func() {
		err = job.End(err)
	}()
	i := &imaging{builder: b, engine: b.engine, request: req, job: job, tag: b.engine.tag(req.App, req.Build)}
	return i.make(ctx)
}

// imaging is the making of one release's image.
type imaging struct {
	builder *Builder
	engine  *Engine
	request hop3.BuildRequest
	job     *build.Job
	tag     string
	file    dockerfile
}

func (i *imaging) make(ctx context.Context) (hop3.Artifact, error) {
	if err := i.check(); err != nil {
		return hop3.Artifact{}, err
	}
	var err error
	if i.request.Options.Docker.Image != "" {
		err = i.pull(ctx)
	} else {
		err = i.build(ctx)
	}
	if err != nil {
		return hop3.Artifact{}, err
	}
	c, err := i.container(ctx)
	if err != nil {
		return hop3.Artifact{}, err
	}
	i.job.Say("       Image %s, with HTTP on port %d", c.Image, c.Port)
	return hop3.Artifact{
		Toolchains: []string{"docker"},
		Processes:  i.processes(),
		Container:  c,
	}, nil
}

// processes offers the image's own command for what serves HTTP.
func (i *imaging) processes() []hop3.Process {
	for _, p := range i.request.Options.Processes {
		if hop3.ServesHTTP(p.Type) {
			return nil
		}
	}
	return []hop3.Process{{Type: hop3.ProcessWeb}}
}

// check looks at what the source has before anything is built.
func (i *imaging) check() error {
	o := i.request.Options
	root, err := os.OpenRoot(i.request.Source)
	if err != nil {
		return fmt.Errorf("opening the source: %w", err)
	}
	defer root.Close()
	src := root.FS()
	if !o.Docker.IgnoreCompose {
		unused, err := checkCompose(src)
		if err != nil {
			return err
		}
		if unused != "" {
			i.job.Warn("%s is not used: hop3.toml and the image say how the app runs", unused)
		}
	}
	for _, p := range o.Processes {
		if hop3.ServesHTTP(p.Type) && p.Type != hop3.ProcessWeb {
			return hop3.Errorf(hop3.CodeInvalid, "the process type %s is what uWSGI loads, and an image runs commands", p.Type).
				WithHint("Declare a web process whose command listens on $PORT, or leave it to the image's own command.")
		}
	}
	for what, set := range map[string]bool{
		"[build].toolchain": o.Toolchain != "", "[build].build": len(o.Commands) > 0,
		"before-build": len(i.request.Before) > 0, "after-build": len(i.request.After) > 0,
	} {
		if set {
			i.job.Warn("%s has no effect: the image is built as its Dockerfile says", what)
		}
	}
	if o.Docker.Image != "" {
		if strings.Contains(o.Docker.Image, "@sha256:") {
			return nil
		}
		return i.unpinned([]string{o.Docker.Image}, "[docker].image names")
	}
	if err := regular(root, "Dockerfile", ".dockerignore", "Dockerfile.dockerignore"); err != nil {
		return err
	}
	text, err := fs.ReadFile(src, "Dockerfile")
	if err != nil {
		return hop3.Errorf(hop3.CodeDeploy, "the app is to be built with Docker, and its source has no Dockerfile").
			WithHint("Add one, name an image in the [docker] section of hop3.toml, or take builder = \"docker\" out of it.")
	}
	i.file = parseDockerfile(string(text), o.Docker.BuildArgs)
	if len(i.file.unpinned) > 0 {
		return i.unpinned(i.file.unpinned, "the Dockerfile builds on")
	}
	return nil
}

// regular refuses files that are links: the program docker reads them with the
// server's rights.
func regular(root *os.Root, names ...string) error {
	for _, name := range names {
		info, err := root.Lstat(name)
		if err == nil && !info.Mode().IsRegular() {
			return hop3.Errorf(hop3.CodeInvalid, "%s is not a file", name)
		}
	}
	return nil
}

// unpinned says that images may be others at the next build.
func (i *imaging) unpinned(images []string, what string) error {
	const how = "a name with @sha256:… stays what it is"
	if i.request.Options.Strict {
		return hop3.Errorf(hop3.CodeInvalid, "%s %s, which may be another image tomorrow, and [build] strict = true refuses that", what, strings.Join(images, ", ")).
			WithHint("Pin it: %s. `docker buildx imagetools inspect <image>` shows the digest.", how)
	}
	i.job.Warn("%s %s, which may be another image tomorrow: %s", what, strings.Join(images, ", "), how)
	return nil
}

// build runs docker build, again when the trouble was a registry's.
func (i *imaging) build(ctx context.Context) error {
	args := []string{"build", "--progress=plain", "--tag", i.tag,
		"--label", labelHome + "=" + i.engine.prefix, "--label", labelApp + "=" + i.request.App}
	for _, name := range slices.Sorted(maps.Keys(i.request.Options.Docker.BuildArgs)) {
		args = append(args, "--build-arg", name+"="+i.request.Options.Docker.BuildArgs[name])
	}
	i.job.Say("-----> Building the image with Docker")
	kit := hop3.Env{"DOCKER_BUILDKIT": "1"}
	said, err := i.attempts(ctx, kit, append(args, ".")...)
	if err != nil && said.needsBuildx() {
		i.job.Say("       Without its plug-in buildx, docker builds the way it used to")
		args = slices.DeleteFunc(args, func(a string) bool { return a == "--progress=plain" })
		args = append(args, "--force-rm") // or the container of a step that fails stays
		said, err = i.attempts(ctx, hop3.Env{"DOCKER_BUILDKIT": "0"}, append(args, ".")...)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || hop3.CodeOf(err) != hop3.CodeDeploy {
		return err
	}
	return hop3.Errorf(hop3.CodeDeploy, "the image cannot be built: %s", build.Clean(said.cause())).
		WithHint("`hop3 app build-logs --app %s` has all of it.", i.request.App)
}

// attempts runs the program docker until it succeeds, or fails for a reason
// that will still be there later.
func (i *imaging) attempts(ctx context.Context, env hop3.Env, args ...string) (said *output, err error) {
	pauses := i.builder.pauses
	if pauses == nil {
		pauses = retries
	}
	for n := 0; ; n++ {
		said = &output{pulls: args[0] == "pull"}
		if err = i.docker(ctx, said, env, args...); err == nil || n >= len(pauses) || !said.transient() {
			return said, err
		}
		i.job.Warn("the registry has trouble; trying again in %s", pauses[n])
		select {
		case <-time.After(pauses[n]):
		case <-ctx.Done():
			return said, err
		}
	}
}

// docker runs the program docker with the server's rights, but with nothing of
// the app's environment. Its configuration, with the logins to registries, is
// that of the server's user.
func (i *imaging) docker(ctx context.Context, said *output, env hop3.Env, args ...string) error {
	argv, _, err := i.engine.program(args...)
	if err != nil {
		return err
	}
	home, _ := os.UserHomeDir() // without one there are no logins
	r := &build.Runner{Dir: i.request.Source, Env: build.Environ(home, env), Out: said.tee(i.job.Out)}
	return r.Run(ctx, hop3.Command{Args: argv})
}

// pull gets the image that is named, and tags it for the release. One that
// only this machine has is taken from it.
func (i *imaging) pull(ctx context.Context) error {
	name := i.request.Options.Docker.Image
	ctx, cancel := context.WithTimeoutCause(ctx, pullTime, fmt.Errorf("a pull may take %s", pullTime))
	defer cancel()
	i.job.Say("-----> Pulling the image %s", name)
	said, err := i.attempts(ctx, nil, "pull", name)
	if err != nil {
		if ctx.Err() != nil || hop3.CodeOf(err) != hop3.CodeDeploy {
			return err
		}
		if _, here := i.engine.image(ctx, name); here != nil {
			return hop3.Errorf(hop3.CodeDeploy, "the image %s cannot be pulled: %s", name, build.Clean(said.cause()))
		}
		i.job.Warn("the image %s cannot be pulled; the one that this machine has is used", name)
	}
	repository, tag, _ := strings.Cut(i.tag, ":")
	if err := i.engine.tagImage(ctx, name, repository, tag); err != nil {
		return fmt.Errorf("tagging the image: %w", err)
	}
	return nil
}

// container is what the image says of how it runs.
func (i *imaging) container(ctx context.Context) (*hop3.Container, error) {
	found, err := i.engine.image(ctx, i.tag)
	if err != nil {
		return nil, fmt.Errorf("looking at the image: %w", err)
	}
	c := &hop3.Container{Image: found.ID, Port: i.request.Options.Docker.Port, WorkDir: found.Config.WorkingDir}
	if c.WorkDir == "" {
		c.WorkDir = "/"
	}
	exposed := found.ports()
	switch {
	case c.Port != 0:
	case slices.Contains(exposed, i.file.expose):
		c.Port = i.file.expose
	case len(exposed) > 0:
		c.Port = exposed[0]
	default:
		c.Port = standardPort
		i.job.Say("       The image exposes no port: it gets PORT=%d", c.Port)
	}
	return c, nil
}

// ports are the TCP ports that the image exposes, in order.
func (i image) ports() (ports []int) {
	for name := range i.Config.ExposedPorts {
		number, protocol, _ := strings.Cut(name, "/")
		if n, err := strconv.Atoi(number); err == nil && protocol == "tcp" {
			ports = append(ports, n)
		}
	}
	slices.Sort(ports)
	return ports
}

// Keep removes the images of the app's other builds.
func (b *Builder) Keep(ctx context.Context, app string, builds []int) error {
	if b.engine.Missing(ctx) != nil {
		return nil
	}
	tags, err := b.engine.tags(ctx, app)
	if err != nil {
		return err
	}
	var errs []error
	for number, tag := range tags {
		if !slices.Contains(builds, number) {
			errs = append(errs, b.engine.removeImage(ctx, tag))
		}
	}
	if len(builds) == 0 {
		errs = append(errs, b.engine.removeVolumes(ctx, func(owner string) bool { return owner == app }))
	}
	return errors.Join(errs...)
}

// KeepApps removes the images and volumes of apps that are gone.
func (b *Builder) KeepApps(ctx context.Context, apps []string) error {
	if b.engine.Missing(ctx) != nil {
		return nil
	}
	tags, err := b.engine.tagsOf(ctx, b.engine.prefix+"/*")
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, app := range apps {
		kept[b.engine.repository(app)] = true
	}
	var errs []error
	for _, tag := range tags {
		repository, _, _ := strings.Cut(tag, ":")
		if !kept[repository] {
			errs = append(errs, b.engine.removeImage(ctx, tag))
		}
	}
	errs = append(errs, b.engine.removeVolumes(ctx, func(owner string) bool { return !slices.Contains(apps, owner) }))
	return errors.Join(errs...)
}

var (
	_ hop3.Builder = (*Builder)(nil)
	_ hop3.Keeper  = (*Builder)(nil)
)
