package platform

import (
	"context"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// MagicLink returns a text that logs a user in once, within 5 minutes: see
// RedeemMagicLink.
func (p *Platform) MagicLink(ctx context.Context, who Actor, username string) (string, error) {
	if err := adminOnly(who); err != nil {
		return "", err
	}
	u, err := p.Store.User(ctx, username)
	if err != nil {
		return "", err
	}
	if !u.Active {
		return "", hop3.Errorf(hop3.CodeConflict, "The user %s is disabled.", username)
	}
	p.happened(userEvent(asked(ctx, who), hop3.EventTokenIssued, username, "a link was made that logs %s in", username))
	p.Logger.Info("magic link made", zap.String("user", username), zap.String("by", who.Username))
	return p.Auth.IssueMagic(u)
}

// RedeemMagicLink returns a token of the user that a magic link is for, the
// first time; of one who has a second factor with a code of that, and without
// one it returns ErrCodeNeeded and the link stays good. Whatever else is wrong,
// the error is the same CodeUnauthorized one.
func (p *Platform) RedeemMagicLink(ctx context.Context, source, link, code string) (string, error) {
	if !p.Auth.Allow(source) {
		return "", tooManyAttempts()
	}
	refused := hop3.Errorf(hop3.CodeUnauthorized, "The link is not valid, was used before, or its time is over.").
		WithHint("Ask an administrator for another: `hop3 auth magic-link USER`.")
	t, err := p.Auth.ParseMagic(link)
	if err != nil {
		p.noteBurst(event(ctx, hop3.EventLoginFailed, "", "a link was refused"), source)
		return "", refused
	}
	u, err := p.Store.User(ctx, t.Username)
	if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
		return "", err
	}
	if err != nil || !u.Active || !issuedTo(t, u) || !u.Holds(t) {
		return "", refused
	}
	used, err := p.Store.TokenRevoked(ctx, t.ID)
	if err != nil {
		return "", err
	}
	if used {
		return "", refused
	}
	if err := p.proveSecondFactor(ctx, source, u, code); err != nil {
		return "", err
	}
	// Of several who come at once, the database lets one through.
	first, err := p.Store.UseToken(ctx, t.ID, t.Expires)
	if err != nil {
		return "", err
	}
	if !first {
		return "", refused
	}
	if u, err = p.noteLogin(ctx, u.Username, nil, linkUsed(ctx, u)); err != nil {
		return "", err
	}
	return p.Auth.IssueToken(u)
}

// proveSecondFactor takes a code of a user who has a second factor; others need
// none. See ErrCodeNeeded.
func (p *Platform) proveSecondFactor(ctx context.Context, source string, u hop3.User, code string) error {
	if !u.SecondFactor.Required() {
		return nil
	}
	if code == "" {
		return ErrCodeNeeded
	}
	if !p.Auth.AllowAccount(u.Username) {
		return tooManyAttempts()
	}
	_, err := p.Store.UpdateUser(ctx, u.Username, func(u *hop3.User) error {
		if u.SecondFactor.Required() && !p.Auth.TakeCode(u.SecondFactor, code) {
			return ErrCodeRefused
		}
		return nil
	})
	if hop3.CodeOf(err) == hop3.CodeUnauthorized {
		p.noteBurst(userEvent(ctx, hop3.EventLoginFailed, u.Username, "wrong code for %s", u.Username), source)
	}
	return err
}

// ErrCodeRefused is the CodeUnauthorized error of a login with a code of a
// second factor that proves nothing.
var ErrCodeRefused = hop3.Errorf(hop3.CodeUnauthorized, "The code is not right, or was used before.")

func linkUsed(ctx context.Context, u hop3.User) hop3.Event {
	e := event(ctx, hop3.EventLoginSucceeded, "", "%s logged in by a link", u.Username)
	e.Actor = u.Username
	return e
}
