package platform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

const (
	heads = "refs/heads/"
	tags  = "refs/tags/"
)

// Push is one git push, from before git receives anything until after it
// moved, or did not move, the references.
type Push struct {
	p       *Platform
	who     Actor
	app     string
	out     hop3.Output
	created bool // the app was created for this push
	branch  bool // this push chose the deploy branch
	options pushOptions

	unlock     func()
	activation *activation
	ref        hop3.RefMove // of the deploy branch
	previews   []*previewPush
	deleted    []string // branches, perhaps with previews
}

// BeginPush prepares the app and its repository for a push, creating both when
// there are none. The caller must call Settle.
func (p *Platform) BeginPush(ctx context.Context, who Actor, app string, out hop3.Output) (*Push, error) {
	ctx = As(ctx, who)
	if err := p.checkDisk(ctx, app, "", out); err != nil {
		return nil, err
	}
	created, err := p.ensureApp(ctx, who, app, out)
	if err != nil {
		return nil, err
	}
	if err := p.Repos.Ensure(ctx, app); err != nil {
		return nil, fmt.Errorf("preparing the repository of '%s': %w", app, err)
	}
	return &Push{p: p, who: who, app: app, out: out, created: created}, nil
}

// PreReceive runs while git holds the pushed objects in quarantine and waits:
// an error rejects the whole push. When the push moves the deploy branch, the
// new commit is deployed, and when that succeeds it serves before the branch
// moves.
func (push *Push) PreReceive(ctx context.Context, received hop3.Push) (err error) {
	ctx = As(ctx, push.who)
	if push.options, err = push.p.pushOptions(received.Options); err != nil {
		return err
	}
	app, _, err := push.p.app(ctx, push.who, push.app, hop3.RoleDeployer)
	if err != nil {
		return err
	}
	branch, err := push.deployBranch(ctx, app, received.Updates)
	if err != nil {
		return err
	}
	deploy, previews, err := push.sort(app, branch, received.Updates)
	if err != nil {
		return err
	}
	if err := push.checkPreviews(deploy, previews); err != nil {
		return err
	}
	switch {
	case deploy == nil && len(previews) == 0 && push.options.any():
		return hop3.Errorf(hop3.CodeInvalid, "nothing in this push is deployed, so that its options would have no effect").
			WithHint("Push the branch that deploys%s.", named(branch))
	case deploy != nil && push.options.noSwitch:
		if err := push.p.checkRehearsal(app); err != nil {
			return err
		}
	}
	vars := push.options.env
	if deploy != nil {
		vars = nil // they are for that
	}
	// The live app is switched last, when all others have succeeded.
	for _, u := range previews {
		if err := push.deployPreview(ctx, app, u, vars, received); err != nil {
			return err
		}
	}
	if deploy == nil {
		return nil
	}
	return push.deploy(ctx, *deploy, received)
}

// sort finds among the updates that of the deploy branch, and those that become
// previews, in the order in which they are locked.
func (push *Push) sort(app hop3.App, branch string, updates []hop3.RefMove) (deploy *hop3.RefMove, previews []hop3.RefMove, err error) {
	for _, u := range updates {
		switch {
		case strings.HasPrefix(u.Name, "refs/hop3/"):
			return nil, nil, hop3.Errorf(hop3.CodeInvalid, "%s is reserved for the server", u.Name)
		case branch != "" && u.Name == heads+branch:
			if u.Delete() {
				return nil, nil, hop3.Errorf(hop3.CodeInvalid, "'%s' is the branch that '%s' is deployed from; it cannot be deleted", branch, app.Name).
					WithHint("Use `hop3 app destroy --app %s` to remove the app.", app.Name)
			}
			deploy = &u
		case u.Delete():
			push.deleted = append(push.deleted, u.Name)
		case push.wantsPreview(app, u.Name):
			previews = append(previews, u)
		default:
			push.noteStored(u.Name, branch)
		}
	}
	slices.SortFunc(previews, func(a, b hop3.RefMove) int { return strings.Compare(a.Name, b.Name) })
	return deploy, previews, nil
}

// deploy deploys the new commit of the deploy branch and leaves the app locked
// until Settle.
func (push *Push) deploy(ctx context.Context, ref hop3.RefMove, received hop3.Push) error {
	p := push.p
	unlock, err := p.lockForDeploy(ctx, push.app, push.out)
	if err != nil {
		return err
	}
	push.unlock = unlock
	if err := push.checkMove(ctx, ref); err != nil {
		return err
	}
	source, err := received.Commit(ctx, ref.New)
	if err != nil {
		return err
	}
	say(push.out, "-----> Deploying '%s' branch '%s' (%.8s)", push.app, strings.TrimPrefix(ref.Name, heads), ref.New)
	push.ref = ref
	push.activation, err = p.deploy(ctx, push.who, DeployRequest{
		App: push.app, Kind: hop3.ReleasePush, Source: branchSource{source, strings.TrimPrefix(ref.Name, heads)}, Ref: &ref, Out: push.out,
		Env: push.options.env, NoSwitch: push.options.noSwitch, Canary: push.options.canary,
	})
	return err
}

// checkMove refuses to deploy for a branch that is not where its move begins.
func (push *Push) checkMove(ctx context.Context, ref hop3.RefMove) error {
	current, err := push.p.Repos.Ref(ctx, push.app, ref.Name)
	if err != nil {
		return err
	}
	if current != ref.Old && (current != "" || !ref.Create()) {
		return hop3.Errorf(hop3.CodeConflict, "'%s' was moved by another push meanwhile", strings.TrimPrefix(ref.Name, heads)).
			WithHint("Fetch, and push again.")
	}
	return nil
}

// Settle ends the push after git receive-pack did. A release that began to
// serve is confirmed when its branch has really moved and reverted otherwise.
func (push *Push) Settle(ctx context.Context, exit error) {
	ctx = As(context.WithoutCancel(ctx), push.who)
	p := push.p
	push.settlePreviews(ctx, exit)
	if push.unlock != nil {
		defer push.unlock()
	}
	if a := push.activation; a != nil {
		current, err := p.Repos.Ref(ctx, push.app, push.ref.Name)
		if err == nil && current == push.ref.New {
			a.finish()
			p.Go("tidy", func(ctx context.Context) {
				if err := p.Repos.Tidy(ctx, push.app); err != nil && ctx.Err() == nil {
					p.Logger.Warn("tidying a repository", zap.String("app", push.app), zap.Error(err))
				}
			})
			return
		}
		a.revert(hop3.Errorf(hop3.CodeConflict, "git did not move the branch after the deploy; the release was taken back"))
		push.tellTakenBack()
		p.Logger.Error("a pushed release was taken back", zap.String("app", push.app), zap.Errors("why", []error{err, exit}))
		return
	}
	if push.unlock != nil {
		push.unlock() // undoing takes the lock itself
	}
	if push.created || push.branch {
		push.undoUnused(ctx)
	}
}

// tellTakenBack tells a pusher, who has read that the release is live.
func (push *Push) tellTakenBack() {
	why := ""
	if left, _, err := push.p.room(); err == nil && (left.bytes < 1<<20 || left.files < 100) {
		why = "the server's disk is full: "
	}
	tell(push.out, 0, "red", "       %sgit could not move the branch, so the release was taken back", why)
}

// undoUnused takes back what was made for a push that brought nothing: the
// app, or the choice of its deploy branch.
func (push *Push) undoUnused(ctx context.Context) {
	p := push.p
	releases, err := p.Store.Releases(ctx, push.app)
	if err != nil || len(releases) > 0 {
		return
	}
	if push.branch {
		_, err = p.Store.UpdateApp(ctx, push.app, func(app *hop3.App) error {
			app.DeployBranch = ""
			return nil
		})
	}
	if push.created {
		err = errors.Join(err, p.undoCreated(ctx, push.app))
	}
	if err != nil {
		p.Logger.Warn("undoing an empty push", zap.String("app", push.app), zap.Error(err))
	}
}

// undoCreated takes an app back that was made for what then brought nothing.
func (p *Platform) undoCreated(ctx context.Context, app string) error {
	releases, err := p.Store.Releases(ctx, app)
	if err != nil || len(releases) > 0 {
		return err
	}
	refs, err := p.Repos.Refs(ctx, app)
	if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound || len(refs) > 0 {
		return err
	}
	return p.destroyApp(ctx, app, hop3.Discard)
}

// deployBranch returns the branch that deploys. The first main or master that
// is pushed becomes it.
func (push *Push) deployBranch(ctx context.Context, app hop3.App, updates []hop3.RefMove) (string, error) {
	if app.DeployBranch != "" {
		return app.DeployBranch, nil
	}
	for _, name := range []string{"main", "master"} {
		i := slices.IndexFunc(updates, func(u hop3.RefMove) bool { return u.Name == heads+name && !u.Delete() })
		if i < 0 {
			continue
		}
		updated, err := push.p.Store.UpdateApp(ctx, app.Name, func(a *hop3.App) error {
			if a.DeployBranch == "" {
				a.DeployBranch = name
			}
			return nil
		}, configChanged(asked(ctx, push.who), app.Name, []hop3.Difference{{Property: "Deploy branch", New: name}}))
		if err != nil {
			return "", err
		}
		push.branch = true
		return updated.DeployBranch, push.p.Repos.SetHead(ctx, app.Name, updated.DeployBranch)
	}
	return "", nil
}

// named returns ", 'main'", or nothing while there is no such branch.
func named(branch string) string {
	if branch == "" {
		return ""
	}
	return ", '" + branch + "'"
}

// noteStored tells the pusher that a reference is kept and not deployed.
func (push *Push) noteStored(name, branch string) {
	what := "'" + name + "'"
	switch {
	case strings.HasPrefix(name, tags):
		what = "tag '" + strings.TrimPrefix(name, tags) + "'"
	case strings.HasPrefix(name, heads):
		what = "branch '" + strings.TrimPrefix(name, heads) + "'"
	}
	if branch != "" {
		say(push.out, "-----> Stored %s, not deployed: '%s' deploys from '%s'", what, push.app, branch)
		return
	}
	say(push.out, "-----> Stored %s, not deployed: the first main or master pushed deploys", what)
	if name, ok := strings.CutPrefix(name, heads); ok {
		say(push.out, "       Use `git push <remote> %s:main` to deploy this branch", name)
	}
}

// branchSource is a commit that arrived on a branch.
type branchSource struct {
	Source
	branch string
}

func (s branchSource) Describe(ctx context.Context) (hop3.Release, error) {
	r, err := s.Source.Describe(ctx)
	r.Branch = s.branch
	return r, err
}

// SetDeployBranch chooses the branch whose pushes deploy. It deploys nothing.
func (p *Platform) SetDeployBranch(ctx context.Context, who Actor, app, branch string) error {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return err
	}
	if err := checkBranch(branch); err != nil {
		return err
	}
	unlock, err := p.lock(ctx, app)
	if err != nil {
		return err
	}
	defer unlock()
	return p.setDeployBranch(ctx, app, branch)
}

func checkBranch(branch string) error {
	if branch == "" || strings.ContainsAny(branch, " \t\n~^:?*[\\") || strings.HasPrefix(branch, "-") || strings.Contains(branch, "..") {
		return hop3.Errorf(hop3.CodeInvalid, "%q cannot be a branch", branch)
	}
	return nil
}

// setDeployBranch is SetDeployBranch of a locked app.
func (p *Platform) setDeployBranch(ctx context.Context, app, branch string) error {
	if _, err := p.Store.UpdateApp(ctx, app, func(a *hop3.App) error {
		if a.Preview != nil {
			return isPreview(*a)
		}
		a.DeployBranch = branch
		return nil
	}, configChanged(ctx, app, []hop3.Difference{{Property: "Deploy branch", New: branch}})); err != nil {
		return err
	}
	if err := p.Repos.Ensure(ctx, app); err != nil {
		return err
	}
	return p.Repos.SetHead(ctx, app, branch)
}
