package platform

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// APITokens is the part of the store that remembers the tokens which users made.
type APITokens interface {
	APITokens(ctx context.Context, username string) ([]hop3.APIToken, error) // ordered by name
	APIToken(ctx context.Context, id string) (hop3.APIToken, error)
	AddAPIToken(ctx context.Context, t hop3.APIToken, events ...hop3.Event) error // CodeConflict when the user has one of the name
	RemoveAPIToken(ctx context.Context, username, name string, events ...hop3.Event) error
	// TokenUsed remembers when a token was used last.
	TokenUsed(ctx context.Context, id string, at time.Time) error
}

const (
	// DefaultTokenLifetime and MaxTokenLifetime are how long a token is good:
	// when nothing is said, and at most.
	DefaultTokenLifetime = 90 * 24 * time.Hour
	MaxTokenLifetime     = 5 * 365 * 24 * time.Hour
	// usedEvery is how exactly the last use of a token is known: noting each
	// would be a write for every request.
	usedEvery = 10 * time.Minute
	maxTokens = 100 // of a user
)

// CreateToken makes a token of the user's with a name, and returns it with its
// text, which is kept nowhere. Its scope narrows what the user may do.
func (p *Platform) CreateToken(ctx context.Context, who Actor, username, name string, scope hop3.Scope, lifetime time.Duration) (hop3.APIToken, string, error) {
	if err := ownAccount(who, username); err != nil {
		return hop3.APIToken{}, "", err
	}
	if err := hop3.ValidateTokenName(name); err != nil {
		return hop3.APIToken{}, "", err
	}
	if lifetime == 0 {
		lifetime = DefaultTokenLifetime
	}
	if lifetime < time.Minute || lifetime > MaxTokenLifetime {
		return hop3.APIToken{}, "", hop3.Errorf(hop3.CodeInvalid, "A token is good for a minute at least, and for %d days at most.", MaxTokenLifetime/(24*time.Hour))
	}
	u, err := p.Store.User(ctx, username)
	if err != nil {
		return hop3.APIToken{}, "", err
	}
	for _, app := range scope.Apps {
		if err := p.may(ctx, who, app, hop3.RoleViewer); err != nil {
			return hop3.APIToken{}, "", err
		}
	}
	tokens, err := p.Store.APITokens(ctx, username)
	if err != nil {
		return hop3.APIToken{}, "", err
	}
	if len(tokens) >= maxTokens {
		return hop3.APIToken{}, "", hop3.Errorf(hop3.CodeConflict, "There are %d tokens, and %d are the most.", len(tokens), maxTokens).
			WithHint("`hop3 token revoke NAME` ends one.")
	}
	text, made, err := p.Auth.IssueNamed(u, scope, lifetime)
	if err != nil {
		return hop3.APIToken{}, "", err
	}
	t := hop3.APIToken{ID: made.ID, Username: username, Name: name, Scope: scope, CreatedAt: made.Issued, Expires: made.Expires}
	if err := p.Store.AddAPIToken(ctx, t, userEvent(asked(ctx, who), hop3.EventTokenIssued, username, "%s has a token named %s", username, name)); err != nil {
		return hop3.APIToken{}, "", err
	}
	p.Logger.Info("token created", zap.String("user", username), zap.String("token", name), zap.Strings("scope", scope.Words()), zap.String("by", who.Username))
	return t, text, nil
}

// APITokens returns the tokens that a user made, those that have expired too.
func (p *Platform) APITokens(ctx context.Context, who Actor, username string) ([]hop3.APIToken, error) {
	if err := ownAccount(who, username); err != nil {
		return nil, err
	}
	if _, err := p.Store.User(ctx, username); err != nil {
		return nil, err
	}
	return p.Store.APITokens(ctx, username)
}

// RevokeToken ends a token of a user's: the next request with it is a
// stranger's.
func (p *Platform) RevokeToken(ctx context.Context, who Actor, username, name string) error {
	if err := ownAccount(who, username); err != nil {
		return err
	}
	if err := p.Store.RemoveAPIToken(ctx, username, name, userEvent(asked(ctx, who), hop3.EventTokenRevoked, username, "the token %s of %s was ended", name, username)); err != nil {
		return err
	}
	p.evict(ctx, username)
	p.Logger.Info("token revoked", zap.String("user", username), zap.String("token", name), zap.String("by", who.Username))
	return nil
}

// RevokeTokens ends all tokens that a user made.
func (p *Platform) RevokeTokens(ctx context.Context, who Actor, username string) error {
	tokens, err := p.APITokens(ctx, who, username)
	for _, t := range tokens {
		if err == nil {
			err = p.RevokeToken(ctx, who, username, t.Name)
		}
	}
	return err
}

// useToken returns the scope of a named token as it is stored, and notes now
// and then that it is used. One that is not stored any more was revoked.
func (p *Platform) useToken(ctx context.Context, t Token) (hop3.Scope, error) {
	stored, err := p.Store.APIToken(ctx, t.ID)
	if hop3.CodeOf(err) == hop3.CodeNotFound || err == nil && stored.Username != t.Username {
		return hop3.Scope{}, hop3.Errorf(hop3.CodeUnauthorized, "The token was revoked.")
	}
	if err != nil {
		return hop3.Scope{}, err
	}
	if now := p.now(); now.Sub(stored.LastUsed) > usedEvery {
		if err := p.Store.TokenUsed(context.WithoutCancel(ctx), t.ID, now); err != nil {
			p.Logger.Warn("noting the use of a token", zap.Error(err))
		}
	}
	return stored.Scope, nil
}
