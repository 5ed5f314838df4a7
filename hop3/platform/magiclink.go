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
	if u, err = p.noteLogin(ctx, u.Username, nil); err != nil {
		return "", err
	}
	return p.Auth.IssueToken(u)
}
