package platform

import (
	"context"
	"path"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// deployers are the words of [deploy].deployer that mean the one of two ways a
// release runs: true for containers.
var deployers = map[string]bool{"docker-compose": true, "uwsgi": false, "native": false, "static": false}

// checkDeployer refuses an app that asks for what its builder does not make.
func checkDeployer(deployer, builder string) error {
	containers, asked := deployers[deployer]
	if !asked || containers == (builder == "docker") {
		return nil
	}
	if containers {
		return hop3.Errorf(hop3.CodeDeploy, "[deploy].deployer of hop3.toml is '%s', which runs images, and the builder '%s' makes none", deployer, builder).
			WithHint("Add a Dockerfile, or take the line out.")
	}
	return hop3.Errorf(hop3.CodeDeploy, "[deploy].deployer of hop3.toml is '%s', which runs no images, and the app is built with Docker", deployer).
		WithHint("Say builder = \"local\" in [build], or take the line out.")
}

// contain has a launch run in containers: they have the image's own
// directories and search path, and an app in one is not at the host's
// 127.0.0.1.
func (p *Platform) contain(l *hop3.Launch, r hop3.Release) {
	c := r.Artifact.Container
	l.Container, l.Mounts = c, p.mounts(r)
	l.Env["BIND_ADDRESS"] = "0.0.0.0"
	for _, k := range []string{"HOME", "PWD", "PATH"} {
		if delete(l.Env, k); r.Env[k] != "" {
			l.Env[k] = r.Env[k]
		}
	}
}

// mounts are the volumes of a release that is an image.
func (p *Platform) mounts(r hop3.Release) (mounts []hop3.Mount) {
	c := r.Artifact.Container
	for _, v := range c.Volumes {
		mounts = append(mounts, hop3.Mount{
			Name: v.Name, Source: filepath.Join(p.volumesDir(r.App), v.Name), Target: path.Join(c.WorkDir, v.Target),
		})
	}
	return mounts
}

// verify makes sure that what a release was built into is all there.
func (p *Platform) verify(ctx context.Context, a hop3.Artifact) error {
	for _, b := range p.Builders() {
		if v, ok := b.(hop3.Verifier); ok {
			if err := v.Verify(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// How long builders may take to remove what is not needed: an engine that hangs
// must not hold anybody up.
const (
	keepTime     = time.Minute      // after a deploy of the app
	keepAppsTime = 10 * time.Second // of the server's start
)

// keepApps has the builders remove what they made for apps that are gone.
func (p *Platform) keepApps(ctx context.Context, apps []hop3.App) {
	ctx, cancel := context.WithTimeout(ctx, keepAppsTime)
	defer cancel()
	names := make([]string, len(apps))
	for n, app := range apps {
		names[n] = app.Name
	}
	for _, b := range p.Builders() {
		if k, ok := b.(hop3.Keeper); ok {
			if err := k.KeepApps(ctx, names); err != nil {
				p.Logger.Warn("removing what was built for apps that are gone", zap.String("builder", b.Name()), zap.Error(err))
			}
		}
	}
}

// keepBuilds has the builders remove what they made for other builds of an app
// than those. What fails is tried again after the next deploy.
func (p *Platform) keepBuilds(ctx context.Context, app string, builds []int) {
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	for _, b := range p.Builders() {
		if k, ok := b.(hop3.Keeper); ok {
			if err := k.Keep(ctx, app, builds); err != nil {
				p.Logger.Warn("removing what was built", zap.String("app", app), zap.String("builder", b.Name()), zap.Error(err))
			}
		}
	}
}
