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
// first time. Whatever is wrong, the error is the same CodeUnauthorized one.
func (p *Platform) RedeemMagicLink(ctx context.Context, source, link string) (string, error) {
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
	if err != nil || !u.Active || !issuedTo(t, u) {
		return "", refused
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

func linkUsed(ctx context.Context, u hop3.User) hop3.Event {
	e := event(ctx, hop3.EventLoginSucceeded, "", "%s logged in by a link", u.Username)
	e.Actor = u.Username
	return e
}
