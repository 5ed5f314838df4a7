package platform

import (
	"context"
	"errors"
	"strings"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// SourceRequest asks for a deploy of what is newest in an app's source, the
// repository elsewhere that the app belongs to.
type SourceRequest struct {
	App string
	// Address makes the repository the app's source, unless it has another
	// one; "" means that it has one.
	Address string
	Branch  string   // for an app without a deploy branch; "" means the default one there
	Env     hop3.Env // set before the build
	// Commit is what the branch must have, at its end or before it; "" means
	// that anything will do.
	Commit string
	// IfNew makes the deploy fail with errNothingNew when what would be
	// deployed is live.
	IfNew  bool
	Canary *hop3.Canary // as in DeployRequest
	Out    hop3.Output
}

// errNothingNew says that what would be deployed is live.
var errNothingNew = hop3.Errorf(hop3.CodeConflict, "the newest commit is live already")

// CreateFromSource makes an app of a repository elsewhere and deploys it. When
// nothing could be fetched there is no app.
func (p *Platform) CreateFromSource(ctx context.Context, who Actor, req SourceRequest) (hop3.Release, error) {
	if err := hop3.ValidateRepoURL(req.Address); err != nil {
		return hop3.Release{}, err
	}
	if _, err := p.CreateApp(ctx, who, req.App); err != nil {
		return hop3.Release{}, err
	}
	say(req.Out, "-----> Creating new app: %s", req.App)
	r, err := p.DeploySource(ctx, who, req)
	if err == nil {
		return r, nil
	}
	undo := context.WithoutCancel(ctx)
	if releases, e := p.Store.Releases(undo, req.App); e == nil && len(releases) == 0 {
		err = errors.Join(err, p.destroyApp(undo, req.App, hop3.Discard))
	}
	return hop3.Release{}, err
}

// DeploySource fetches the newest commit of the app's source and deploys it as a
// push of it to the deploy branch: the branch moves when it serves. It is the
// source that decides, also when its history was rewritten.
func (p *Platform) DeploySource(ctx context.Context, who Actor, req SourceRequest) (hop3.Release, error) {
	if err := p.may(ctx, who, req.App, hop3.RoleDeployer); err != nil {
		return hop3.Release{}, err
	}
	ctx, cancel := p.interruptible(ctx)
	defer cancel()
	if err := p.checkEnv(req.Env); err != nil {
		return hop3.Release{}, err
	}
	if _, err := p.Store.App(ctx, req.App); err != nil {
		return hop3.Release{}, err
	}
	unlock, err := p.lockForDeploy(ctx, req.App, req.Out)
	if err != nil {
		return hop3.Release{}, err
	}
	defer unlock()
	app, err := p.adoptSource(ctx, req)
	if err != nil {
		return hop3.Release{}, err
	}
	if err := p.Repos.Ensure(ctx, app.Name); err != nil {
		return hop3.Release{}, err
	}
	say(req.Out, "-----> Fetching %s", hop3.RedactRepoURL(app.Source))
	fetching, _, end := p.cancelable(ctx, app.Name)
	branch, commit, err := p.Repos.Fetch(fetching, app.Name, app.Source, app.DeployBranch, req.Out)
	if err != nil && fetching.Err() != nil {
		err = canceled(fetching)
	}
	end(err)
	if err != nil {
		p.noteRefused(asked(ctx, who), DeployRequest{App: app.Name, Kind: hop3.ReleaseFetch}, hop3.Release{}, err)
		return hop3.Release{}, err
	}
	if err := p.checkFetched(ctx, app, commit, req); err != nil {
		return hop3.Release{}, err
	}
	if app.DeployBranch == "" {
		if err := p.setDeployBranch(ctx, app.Name, branch); err != nil {
			return hop3.Release{}, err
		}
	}
	a, err := p.deployFetched(ctx, who, app, branch, commit, req)
	if err != nil {
		return hop3.Release{}, err
	}
	a.finish()
	p.Go("history", func(ctx context.Context) {
		if err := p.Repos.Complete(ctx, app.Name, app.Source, branch); err != nil && ctx.Err() == nil {
			p.Logger.Warn("fetching the history of an app", zap.String("app", app.Name), zap.Error(err))
		}
	})
	return a.release, nil
}

// adoptSource remembers the source that a request names.
func (p *Platform) adoptSource(ctx context.Context, req SourceRequest) (hop3.App, error) {
	if req.Address != "" {
		if err := hop3.ValidateRepoURL(req.Address); err != nil {
			return hop3.App{}, err
		}
	}
	if req.Branch != "" {
		if err := checkBranch(req.Branch); err != nil {
			return hop3.App{}, err
		}
	}
	return p.Store.UpdateApp(ctx, req.App, func(a *hop3.App) error {
		switch {
		case a.Preview != nil:
			return isPreview(*a)
		case req.Address == "" && a.Source == "":
			return noSource(a.Name)
		case req.Address != "" && a.Source != "" && a.Source != req.Address:
			return hop3.Errorf(hop3.CodeConflict, "'%s' is fetched from %s.", a.Name, hop3.RedactRepoURL(a.Source)).
				WithHint("`hop3 app source URL --app %s` changes that.", a.Name)
		case req.Branch != "" && a.DeployBranch != "" && a.DeployBranch != req.Branch:
			return hop3.Errorf(hop3.CodeConflict, "'%s' deploys from the branch '%s'.", a.Name, a.DeployBranch).
				WithHint("`hop3 app branch %s --app %s` changes that.", req.Branch, a.Name)
		}
		if req.Address != "" {
			a.Source = req.Address
		}
		if req.Branch != "" {
			a.DeployBranch = req.Branch
		}
		return nil
	}, sourceEvents(ctx, req)...)
}

// checkFetched compares what was fetched with what was asked for.
func (p *Platform) checkFetched(ctx context.Context, app hop3.App, commit string, req SourceRequest) error {
	if req.Commit != "" && req.Commit != commit {
		has, err := p.Repos.Contains(ctx, app.Name, req.Commit, commit)
		if err != nil {
			return err
		}
		if !has {
			return hop3.Errorf(hop3.CodeConflict, "the branch does not have the commit %.8s (any more): it is at %.8s", req.Commit, commit)
		}
	}
	if !req.IfNew || app.Live == 0 {
		return nil
	}
	live, err := p.Store.Release(ctx, app.Name, app.Live)
	if err != nil {
		return err
	}
	if live.Commit == commit {
		return errNothingNew
	}
	return nil
}

// deployFetched deploys a commit that was fetched and moves the branch to it.
func (p *Platform) deployFetched(ctx context.Context, who Actor, app hop3.App, branch, commit string, req SourceRequest) (*activation, error) {
	source, err := p.Repos.Stored(ctx, app.Name, commit, req.Out)
	if err != nil {
		return nil, err
	}
	move := hop3.RefMove{Name: heads + branch, New: commit}
	if move.Old, err = p.Repos.Ref(ctx, app.Name, move.Name); err != nil {
		return nil, err
	}
	if move.Old == "" {
		move.Old = strings.Repeat("0", len(commit))
	}
	deploy := DeployRequest{App: app.Name, Kind: hop3.ReleaseFetch, Source: branchSource{source, branch}, Env: req.Env, Canary: req.Canary, Out: req.Out}
	if move.Old != move.New {
		deploy.Ref = &move
	}
	say(req.Out, "-----> Deploying '%s' branch '%s' (%.8s)", app.Name, branch, commit)
	a, err := p.deploy(ctx, who, deploy)
	if err != nil || deploy.Ref == nil {
		return a, err
	}
	if err := p.Repos.MoveRef(context.WithoutCancel(ctx), app.Name, move); err != nil {
		a.revert(err)
		return nil, err
	}
	return a, nil
}

// SetSource makes a repository the one that the app is fetched from; "" for
// none. Nothing is fetched.
func (p *Platform) SetSource(ctx context.Context, who Actor, app, address string) error {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return err
	}
	if address != "" {
		if err := hop3.ValidateRepoURL(address); err != nil {
			return err
		}
	}
	unlock, err := p.lock(ctx, app)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = p.Store.UpdateApp(ctx, app, func(a *hop3.App) error {
		if a.Preview != nil {
			return isPreview(*a)
		}
		a.Source = address
		return nil
	}, configChanged(ctx, app, []hop3.Difference{{Property: "Source", New: hop3.RedactRepoURL(address)}}))
	return err
}

func noSource(app string) error {
	return hop3.Errorf(hop3.CodeConflict, "'%s' has no source to fetch from.", app).
		WithHint("`hop3 app source URL --app %s` gives it one.", app)
}

func isPreview(app hop3.App) error {
	return hop3.Errorf(hop3.CodeConflict, "'%s' is a preview of '%s', branch '%s'.", app.Name, app.Preview.Parent, app.Preview.Branch).
		WithHint("Push the branch to '%s' instead.", app.Preview.Parent)
}
