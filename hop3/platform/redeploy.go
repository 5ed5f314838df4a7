package platform

import (
	"context"

	"github.com/abilian/hop3/hop3"
)

// Redeploy builds the commit that is live once more, as a push of it would:
// with the toolchains, the packages and the variables of now. It returns a
// CodeConflict error for an app whose files were uploaded: they are not kept.
func (p *Platform) Redeploy(ctx context.Context, who Actor, name string, vars hop3.Env, canary *hop3.Canary, out hop3.Output) (hop3.Release, error) {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return hop3.Release{}, err
	}
	unlock, err := p.lockForDeploy(ctx, name, out)
	if err != nil {
		return hop3.Release{}, err
	}
	defer unlock()
	app, err := p.Store.App(ctx, name)
	if err != nil {
		return hop3.Release{}, err
	}
	if app.Live == 0 {
		return hop3.Release{}, neverDeployed(name)
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	if err != nil {
		return hop3.Release{}, err
	}
	if live.Commit == "" {
		return hop3.Release{}, hop3.Errorf(hop3.CodeConflict, "Release v%d of '%s' was uploaded, and its source is not kept.", live.Number, name).
			WithHint("Run `hop3 deploy --app %s` in its directory. `hop3 app restart --app %s` starts what is built once more.", name, name)
	}
	source, err := p.Repos.Stored(ctx, repoOf(app), live.Commit, out)
	if hop3.CodeOf(err) == hop3.CodeNotFound {
		return hop3.Release{}, hop3.Errorf(hop3.CodeConflict, "The commit %.8s of '%s' is no longer in its repository: %w", live.Commit, name, err).
			WithHint("Push it again.")
	}
	if err != nil {
		return hop3.Release{}, err
	}
	say(out, "-----> Building '%s' (%.8s) again", name, live.Commit)
	a, err := p.deploy(ctx, who, DeployRequest{
		Canary: canary,
		App:    name, Kind: hop3.ReleaseRedeploy, Source: branchSource{source, live.Branch}, Env: vars, Out: out,
	})
	if err != nil {
		return hop3.Release{}, err
	}
	a.finish()
	return a.release, nil
}

// Redeployable reports whether Redeploy can build what is live.
func (p *Platform) Redeployable(ctx context.Context, who Actor, name string) (bool, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil || app.Live == 0 {
		return false, err
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	return live.Commit != "", err
}

func neverDeployed(name string) error {
	return hop3.Errorf(hop3.CodeConflict, "App '%s' has never been deployed.", name).
		WithHint("Push to it with git, or run `hop3 deploy --app %s`.", name)
}
