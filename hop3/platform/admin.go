package platform

import (
	"context"
	"strings"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/env"
	"github.com/abilian/hop3/hop3/manifest"
)

// probePassword is how the password of a probe is made.
var probePassword = hop3.Generate{Kind: "password"}

// makeAccounts makes up the accounts that a manifest asks for, once: what an
// app was given a password for keeps it. They are stored at once, since what
// runs before the start may already use them.
func (p *Platform) makeAccounts(ctx context.Context, app hop3.App, m *manifest.Manifest) (hop3.App, error) {
	if m.Admin == nil && m.Probe == nil {
		return app, nil
	}
	return p.Store.UpdateApp(ctx, app.Name, func(a *hop3.App) error { return p.withAccounts(a, m) })
}

// withAccounts gives an app the accounts that its manifest asks for.
func (p *Platform) withAccounts(a *hop3.App, m *manifest.Manifest) (err error) {
	if m.Admin != nil {
		email := m.Admin.Email
		if email == hop3.OperatorEmail {
			email = p.Settings.OperatorEmail
		}
		if m.Admin.Email != "" && email == "" {
			return hop3.Errorf(hop3.CodeConflict, "[admin] of hop3.toml wants the operator's address, and this server has none").
				WithHint("Write an address, or let the server's admin set OPERATOR_EMAIL.")
		}
		a.Admin, err = account(a.Admin, m.Admin.Username, email, m.Admin.Password)
	}
	if m.Probe != nil && err == nil {
		a.Probe, err = account(a.Probe, m.Probe.Username, m.Probe.Email, probePassword)
	}
	return err
}

func account(old *hop3.Account, username, email string, password hop3.Generate) (*hop3.Account, error) {
	next := hop3.Account{}
	if old != nil {
		next = *old
	}
	next.Username, next.Email = username, email
	if next.Password != "" {
		return &next, nil
	}
	secret, err := env.Generate(password)
	next.Password = secret
	return &next, err
}

// accountVariables tell an app the accounts that its manifest asks for.
func accountVariables(app hop3.App, m *manifest.Manifest) hop3.Env {
	vars := hop3.Env{}
	add := func(prefix string, a *hop3.Account) {
		vars[prefix+"USER"], vars[prefix+"EMAIL"], vars[prefix+"PASSWORD"] = a.Username, a.Email, a.Password
	}
	if m.Admin != nil && app.Admin != nil {
		add(adminPrefix, app.Admin)
	}
	if m.Probe != nil && app.Probe != nil {
		add(probePrefix, app.Probe)
		if app.Probe.Created {
			vars[probeCreated] = "true"
		}
	}
	return vars
}

const (
	adminPrefix  = "HOP3_ADMIN_"
	probePrefix  = "HOP3_PROBE_"
	probeCreated = probePrefix + "CREATED"
)

// welcome follows a deploy that succeeded: it makes the accounts that the app
// does not have yet, shows the admin's once, and checks the app. The app serves
// already: what fails is told, and undoes nothing. An account that could not be
// made is tried again by the next deploy.
func (p *Platform) welcome(ctx context.Context, r hop3.Release, m *manifest.Manifest, out hop3.Output) {
	app, err := p.Store.App(ctx, r.App)
	if err != nil {
		p.Logger.Error("reading an app's accounts", zap.String("app", r.App), zap.Error(err))
		return
	}
	if m.Admin != nil && app.Admin != nil && !app.Admin.Created {
		made := m.Admin.Create == "" || p.makes(ctx, r, app, m.Admin.Create, "the admin's account", out)
		if made {
			app = p.noteAccount(ctx, app, func(a *hop3.App) { a.Admin.Created = true })
		}
	}
	if m.Probe != nil && app.Probe != nil && !app.Probe.Created && p.makes(ctx, r, app, m.Probe.Create, "the probe's account", out) {
		app = p.noteAccount(ctx, app, func(a *hop3.App) { a.Probe.Created = true })
	}
	if m.Admin != nil && app.Admin != nil && app.Admin.Created && !app.Admin.Shown {
		// First it is noted: shown twice is worse than asked for.
		app = p.noteAccount(ctx, app, func(a *hop3.App) { a.Admin.Shown = true })
		for _, line := range credential(*app.Admin, m.Admin.Login) {
			tellOnce(out, "green", "       %s", line)
		}
		tell(out, 0, "green", "       The admin's login is shown once. `hop3 app credentials --app %s` shows it again.", r.App)
	}
	p.checkAfterDeploy(ctx, r, app, out)
}

// makes runs the command that makes an account, and reports whether it did.
func (p *Platform) makes(ctx context.Context, r hop3.Release, app hop3.App, command, what string, out hop3.Output) bool {
	err := p.runOnce(ctx, r, command, "that makes "+what, masked(out, app))
	if err != nil {
		tell(out, 0, "yellow", "       Warning: %s. The next deploy tries it again.", hop3.MessageOf(err))
	}
	return err == nil
}

// noteAccount stores what is known of an app's accounts.
func (p *Platform) noteAccount(ctx context.Context, app hop3.App, change func(*hop3.App)) hop3.App {
	changed, err := p.Store.UpdateApp(context.WithoutCancel(ctx), app.Name, func(a *hop3.App) error {
		change(a)
		return nil
	})
	if err != nil {
		p.Logger.Error("storing an app's accounts", zap.String("app", app.Name), zap.Error(err))
		change(&app)
		return app
	}
	return changed
}

// credential says how to sign in.
func credential(a hop3.Account, login string) []string {
	var lines []string
	if a.Username != "" && login != "email" {
		lines = append(lines, "Username: "+a.Username)
	}
	if a.Email != "" && login != "username" {
		lines = append(lines, "Email: "+a.Email)
	}
	return append(lines, "Password: "+a.Password)
}

// Credentials returns the app's admin account, nil when the server made none.
// That it was looked at is logged.
func (p *Platform) Credentials(ctx context.Context, who Actor, name string) (*hop3.Account, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleDeployer)
	if err != nil || app.Admin == nil {
		return nil, err
	}
	p.happened(event(ctx, hop3.EventAppRevealed, name, "the admin's login of '%s' was shown", name))
	p.Logger.Info("admin credential revealed", zap.String("app", name), zap.String("user", who.Username))
	return app.Admin, nil
}

// masked hides the passwords of an app's accounts in what its commands print:
// a deploy's log is kept.
func masked(out hop3.Output, app hop3.App) hop3.Output {
	var pairs []string
	for _, a := range []*hop3.Account{app.Admin, app.Probe} {
		if a != nil && a.Password != "" {
			pairs = append(pairs, a.Password, "***")
		}
	}
	hide := strings.NewReplacer(pairs...)
	return hop3.OutputFunc(func(l hop3.LogLine) {
		l.Text = hide.Replace(l.Text)
		out.Log(l)
	})
}
