package platform

import (
	"context"
	"path"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// asked is As for who is known only to the verb: what a front door said stays.
func asked(ctx context.Context, who Actor) context.Context {
	if askedBy(ctx) != (Actor{}) || who == (Actor{}) {
		return ctx
	}
	return As(ctx, who)
}

// switchEvents are the events of a release that begins to serve in the place
// of another. Whether a pushed one was deployed is known later: see confirmed.
func switchEvents(ctx context.Context, old, r hop3.Release) []hop3.Event {
	const most = 50
	changes := differences(old, r)
	if len(changes) > most {
		changes = changes[:most]
	}
	instead := ""
	if old.Number == 0 {
		changes = nil // all is new
	} else {
		instead = " in place of v" + strconv.Itoa(old.Number)
	}
	switched := releaseEvent(ctx, hop3.EventReleaseSwitched, r, "v%d (%s) serves%s", r.Number, r.Kind, instead)
	switched.Data = map[string]string{"kind": string(r.Kind)}
	if old.Number != 0 {
		switched.Data["before"] = strconv.Itoa(old.Number)
	}
	switch {
	case r.Status == hop3.ReleaseReady: // `releases switch`
	case r.Kind == hop3.ReleaseEnv, r.Kind == hop3.ReleaseScale, r.Kind == hop3.ReleaseHTTP, r.Kind == hop3.ReleaseAddon:
		e := configChanged(ctx, r.App, changes)
		e.Release = r.Number
		return []hop3.Event{e, switched}
	case r.Kind == hop3.ReleaseRestart:
		return []hop3.Event{releaseEvent(ctx, hop3.EventAppRestarted, r, "'%s' was restarted", r.App), switched}
	case r.Kind == hop3.ReleaseRollback:
	case r.Ref == nil:
		switched.Changes = changes
		return []hop3.Event{switched, succeededEvent(ctx, r)}
	}
	switched.Changes = changes
	return []hop3.Event{switched}
}

// confirmed is the event of a pushed release that git has moved the branch to.
func (a *activation) confirmed(ctx context.Context) []hop3.Event {
	if a.held {
		return nil
	}
	return []hop3.Event{succeededEvent(ctx, a.release)}
}

func succeededEvent(ctx context.Context, r hop3.Release) hop3.Event {
	return releaseEvent(ctx, hop3.EventDeploySucceeded, r, "v%d serves: %s", r.Number, whatIsBuilt(r))
}

// failedEvent is the event of a release that will not serve.
func failedEvent(ctx context.Context, r hop3.Release, why error) hop3.Event {
	kind := hop3.EventDeployFailed
	if hop3.CodeOf(why) == hop3.CodeCanceled {
		kind = hop3.EventDeployCanceled
	}
	e := releaseEvent(ctx, kind, r, "v%d (%s): %s", r.Number, r.Kind, concealed(r.Env, hop3.MessageOf(why)))
	return e
}

// revertedEvent is the event of a release that served and is taken back.
func revertedEvent(ctx context.Context, bad, old hop3.Release, why error) hop3.Event {
	again := "nothing serves now"
	if old.Number != 0 {
		again = "v" + strconv.Itoa(old.Number) + " serves again"
	}
	return releaseEvent(ctx, hop3.EventReleaseReverted, bad, "v%d was taken back, %s: %s", bad.Number, again, concealed(bad.Env, hop3.MessageOf(why)))
}

// noteRefused notes a deploy that was refused before it had a number.
func (p *Platform) noteRefused(ctx context.Context, req DeployRequest, r hop3.Release, err error) {
	if err == nil || r.Number != 0 {
		return
	}
	e := failedEvent(ctx, hop3.Release{App: req.App, Kind: req.Kind}, err)
	e.Message = inOneLine("refused: " + concealed(req.Env, hop3.MessageOf(err)))
	p.happened(e)
}

func appFailed(ctx context.Context, r hop3.Release, why error) hop3.Event {
	return releaseEvent(ctx, hop3.EventAppFailed, r, "'%s' failed: %s", r.App, concealed(r.Env, hop3.MessageOf(why)))
}

// configChanged is the event of settings of an app that were changed. The
// changes have no value that may be secret.
func configChanged(ctx context.Context, app string, changes []hop3.Difference) hop3.Event {
	e := event(ctx, hop3.EventConfigChanged, app, "changed: %s", changeNames(changes))
	e.Changes = changes
	return e
}

func sourceEvents(ctx context.Context, req SourceRequest) []hop3.Event {
	var changes []hop3.Difference
	if req.Address != "" {
		changes = append(changes, hop3.Difference{Property: "Source", New: hop3.RedactRepoURL(req.Address)})
	}
	if req.Branch != "" {
		changes = append(changes, hop3.Difference{Property: "Deploy branch", New: req.Branch})
	}
	if len(changes) == 0 {
		return nil
	}
	return []hop3.Event{configChanged(ctx, req.App, changes)}
}

// userEvent is an event that is about another user than who caused it.
func userEvent(ctx context.Context, kind hop3.EventKind, user, format string, args ...any) hop3.Event {
	e := event(ctx, kind, "", format, args...)
	e.Data = map[string]string{"user": user}
	return e
}

func loginSucceeded(ctx context.Context, u hop3.User) hop3.Event {
	e := event(ctx, hop3.EventLoginSucceeded, "", "%s logged in with a password", u.Username)
	e.Actor = u.Username
	return e
}

// loginFailed tells no name that no account has: people type passwords there.
func loginFailed(ctx context.Context, u hop3.User) hop3.Event {
	if u.Username == "" {
		return event(ctx, hop3.EventLoginFailed, "", "no account has that name")
	}
	why := "wrong password for"
	if !u.Active {
		why = "disabled:"
	}
	return userEvent(ctx, hop3.EventLoginFailed, u.Username, "%s %s", why, u.Username)
}

// ranEvent tells the program that is run, not its arguments: they may be
// secret.
func ranEvent(ctx context.Context, r hop3.Release, cmd hop3.OneOff) hop3.Event {
	what := "a shell"
	if len(cmd.Args) > 0 {
		what = path.Base(cmd.Args[0])
	}
	return releaseEvent(ctx, hop3.EventAppRan, r, "ran %.100s in '%s'", what, r.App)
}

// Revealed notes that who asks is shown values of an app's variables that are
// hidden otherwise: keys names them.
func (p *Platform) Revealed(ctx context.Context, app string, keys ...string) {
	if len(keys) > 0 {
		p.happened(event(ctx, hop3.EventAppRevealed, app, "shown in full: %.300s", strings.Join(keys, ", ")))
	}
}

// whatIsBuilt says what a release is made of.
func whatIsBuilt(r hop3.Release) string {
	switch {
	case r.Commit == "":
		return string(r.Kind)
	case r.Branch == "":
		return string(r.Kind) + " of " + r.Commit[:min(8, len(r.Commit))]
	}
	return string(r.Kind) + " of " + r.Branch + ", " + r.Commit[:min(8, len(r.Commit))]
}

// minSecret is how long a value is at least that is concealed: shorter ones
// are words.
const minSecret = 6

// concealed takes the values of variables that may be secret out of a text,
// which may quote what an app, or a tool of its build, has printed.
func concealed(vars hop3.Env, text string) string {
	var pairs []string
	for key, value := range vars {
		if len(value) >= minSecret && hop3.Redact(key, value) != value {
			pairs = append(pairs, value, "***")
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// emptyEnv has the keys, for a change that removes them.
func emptyEnv(keys []string) hop3.Env {
	env := hop3.Env{}
	for _, k := range keys {
		env[k] = ""
	}
	return env
}
