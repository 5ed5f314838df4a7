package platform

import (
	"context"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Login checks a password, and a code where the account has a second factor,
// and returns a token. Whatever is wrong, the error is the same CodeUnauthorized
// one, but for a missing or wrong code behind the right password. Too many tries
// from one source, or on one account, are refused with CodeForbidden whatever
// the password.
func (p *Platform) Login(ctx context.Context, source, username, password, code string) (string, error) {
	if !p.Auth.Allow(source) || !p.Auth.AllowAccount(username) {
		p.noteBurst(event(ctx, hop3.EventLoginFailed, "", "too many login attempts"), source)
		return "", tooManyAttempts()
	}
	u, err := p.Store.User(ctx, username)
	if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
		return "", err
	}
	// Also for an unknown user: how long the answer takes must not tell who
	// exists.
	if !p.Auth.VerifyPassword(u.PasswordHash, password) || !u.Active {
		p.noteBurst(loginFailed(ctx, u), source)
		return "", hop3.Errorf(hop3.CodeUnauthorized, "Invalid username or password")
	}
	if u.SecondFactor.Required() && code == "" {
		return "", ErrCodeNeeded
	}
	u, err = p.noteLogin(ctx, username, func(u *hop3.User) error {
		if u.SecondFactor.Required() && !p.Auth.TakeCode(u.SecondFactor, code) {
			return ErrCodeRefused
		}
		return nil
	}, loginSucceeded(ctx, u))
	if err != nil {
		return "", err
	}
	return p.Auth.IssueToken(u)
}

// ErrCodeNeeded is the CodeUnauthorized error of a login with the right password
// that wants a code, too.
var ErrCodeNeeded = hop3.Errorf(hop3.CodeUnauthorized, "A code of your second factor is needed").
	WithHint("`hop3 login` asks for it; `hop3 auth get-token USERNAME PASSWORD CODE` takes it at once.")

func tooManyAttempts() error {
	return hop3.Errorf(hop3.CodeForbidden, "Too many login attempts. Wait a minute and try again.")
}

// noteLogin counts a login that check lets through; nil lets all.
func (p *Platform) noteLogin(ctx context.Context, username string, check func(*hop3.User) error, events ...hop3.Event) (hop3.User, error) {
	return p.Store.UpdateUser(ctx, username, func(u *hop3.User) error {
		if check != nil {
			if err := check(u); err != nil {
				return err
			}
		}
		u.LoginCount++
		u.LastLogin = time.Now()
		return nil
	}, events...)
}

// Authenticate returns who bears a token, and what the token says. A revoked
// token, and one of a user who is disabled or gone, is a CodeUnauthorized
// error.
func (p *Platform) Authenticate(ctx context.Context, token string) (hop3.User, Token, error) {
	t, err := p.Auth.ParseToken(token)
	if err != nil {
		return hop3.User{}, Token{}, err
	}
	revoked, err := p.Store.TokenRevoked(ctx, t.ID)
	if err != nil {
		return hop3.User{}, Token{}, err
	}
	u, err := p.Store.User(ctx, t.Username)
	switch {
	case err != nil && hop3.CodeOf(err) != hop3.CodeNotFound:
		return hop3.User{}, Token{}, err
	case err != nil, revoked, !u.Active, !issuedTo(t, u), !u.Holds(t):
		return hop3.User{}, Token{}, noMoreValid()
	}
	if t.Scope = hop3.FullScope; t.Named {
		if t.Scope, err = p.useToken(ctx, t); err != nil {
			return hop3.User{}, Token{}, err
		}
	}
	return u, t, nil
}

func noMoreValid() error {
	return hop3.Errorf(hop3.CodeUnauthorized, "The token is not valid any more.").WithHint("Use 'hop3 login' to get a new one.")
}

// issuedTo tells the account from an older one of the same name. Tokens count
// in whole seconds.
func issuedTo(t Token, u hop3.User) bool {
	return !t.Issued.Before(u.CreatedAt.Truncate(time.Second))
}

// AuthenticateKey returns the user whose key has this fingerprint. An unknown
// key, and one of a disabled user, is a CodeUnauthorized error.
func (p *Platform) AuthenticateKey(ctx context.Context, fingerprint string) (hop3.User, error) {
	refused := hop3.Errorf(hop3.CodeUnauthorized, "No user has this key.")
	key, err := p.Store.Key(ctx, fingerprint)
	if err != nil {
		if hop3.CodeOf(err) == hop3.CodeNotFound {
			return hop3.User{}, refused
		}
		return hop3.User{}, err
	}
	u, err := p.Store.User(ctx, key.Username)
	if err != nil {
		return hop3.User{}, err
	}
	if !u.Active {
		return hop3.User{}, refused
	}
	return u, nil
}

// Logout revokes a token, and ends all else that is open with it.
func (p *Platform) Logout(ctx context.Context, t Token) error {
	err := p.Store.RevokeToken(ctx, t.ID, t.Expires, event(ctx, hop3.EventLogout, "", "%s logged out", t.Username))
	if err == nil && t.Named { // nor does `hop3 token list` show it any more
		var stored hop3.APIToken
		if stored, err = p.Store.APIToken(ctx, t.ID); err == nil {
			err = p.Store.RemoveAPIToken(ctx, stored.Username, stored.Name)
		}
		if hop3.CodeOf(err) == hop3.CodeNotFound {
			err = nil // revoked in this moment
		}
	}
	if err == nil {
		p.evictToken(ctx, t.ID)
	}
	return err
}

// IssueToken returns a new token for a user. It is for who administers the
// host and for administrators.
func (p *Platform) IssueToken(ctx context.Context, who Actor, username string) (string, error) {
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
	// First: no token that nobody knows of.
	if err := p.Store.AddEvents(ctx, event(asked(ctx, who), hop3.EventTokenIssued, "", "a token for %s was made", username)); err != nil {
		return "", err
	}
	return p.Auth.IssueToken(u)
}

// OwnToken returns a new token for the actor, who came without one: by SSH.
func (p *Platform) OwnToken(ctx context.Context, who Actor) (string, error) {
	if err := ownAccount(who, who.Username); err != nil {
		return "", err
	}
	u, err := p.Store.User(ctx, who.Username)
	if err != nil {
		return "", err
	}
	if !u.Active {
		return "", hop3.Errorf(hop3.CodeUnauthorized, "The account is not active any more.")
	}
	e := event(asked(ctx, who), hop3.EventLoginSucceeded, "", "%s logged in by an SSH key", u.Username)
	if err := p.Store.AddEvents(ctx, e); err != nil {
		return "", err
	}
	return p.Auth.IssueToken(u)
}

// Users returns all users, ordered by name.
func (p *Platform) Users(ctx context.Context, who Actor) ([]hop3.User, error) {
	if err := adminOnly(who); err != nil {
		return nil, err
	}
	return p.Store.Users(ctx)
}

// User returns a user. Everybody may ask about themselves.
func (p *Platform) User(ctx context.Context, who Actor, username string) (hop3.User, error) {
	if err := selfOrAdmin(who, username); err != nil {
		return hop3.User{}, err
	}
	return p.Store.User(ctx, username)
}

// AddUser makes an account. An empty password makes one that can log in by key
// or token only.
func (p *Platform) AddUser(ctx context.Context, who Actor, u hop3.User, password string) (hop3.User, error) {
	if err := adminOnly(who); err != nil {
		return hop3.User{}, err
	}
	if err := hop3.ValidateUsername(u.Username); err != nil {
		return hop3.User{}, err
	}
	if err := validateEmail(u.Email); err != nil {
		return hop3.User{}, err
	}
	if password != "" {
		hash, err := p.Auth.HashPassword(password)
		if err != nil {
			return hop3.User{}, err
		}
		u.PasswordHash = hash
	}
	u.Active = true
	u.CreatedAt = time.Now()
	return u, p.Store.CreateUser(ctx, u, userEvent(asked(ctx, who), hop3.EventUserAdded, u.Username, "the account %s was made", u.Username))
}

// RemoveUser deletes an account with its keys. Nobody removes their own.
func (p *Platform) RemoveUser(ctx context.Context, who Actor, username string) error {
	if err := otherOnly(who, username, "remove"); err != nil {
		return err
	}
	defer p.evict(ctx, username)
	return p.Store.DeleteUser(ctx, username, userEvent(asked(ctx, who), hop3.EventUserRemoved, username, "the account %s was deleted", username))
}

// SetPassword changes a user's password and ends their logins, but for the
// actor's own.
func (p *Platform) SetPassword(ctx context.Context, who Actor, username, password string) error {
	if err := ownAccount(who, username); err != nil {
		return err
	}
	hash, err := p.Auth.HashPassword(password)
	if err != nil {
		return err
	}
	_, err = p.Store.UpdateUser(ctx, username, func(u *hop3.User) error {
		u.PasswordHash = hash
		endLogins(u, who)
		return nil
	}, userEvent(asked(ctx, who), hop3.EventUserChanged, username, "the password of %s was changed", username))
	if err == nil {
		p.evict(ctx, username)
	}
	return err
}

// SetAdmin grants or revokes administration. Nobody revokes their own, so that
// there is always an administrator.
func (p *Platform) SetAdmin(ctx context.Context, who Actor, username string, admin bool) error {
	if admin {
		if err := adminOnly(who); err != nil {
			return err
		}
	} else if err := otherOnly(who, username, "revoke the rights of"); err != nil {
		return err
	}
	if !admin {
		defer p.evict(ctx, username)
	}
	_, err := p.Store.UpdateUser(ctx, username, func(u *hop3.User) error {
		u.Admin = admin
		return nil
	}, userEvent(asked(ctx, who), hop3.EventUserChanged, username, "%s is %s", username, map[bool]string{true: "an administrator now", false: "no administrator any more"}[admin]))
	return err
}

// SetActive enables or disables an account. A disabled user's tokens and keys
// stop working at once, and logins are over for good. Nobody disables their own.
func (p *Platform) SetActive(ctx context.Context, who Actor, username string, active bool) error {
	if err := otherOnly(who, username, "enable or disable"); err != nil {
		return err
	}
	if !active {
		defer p.evict(ctx, username)
	}
	_, err := p.Store.UpdateUser(ctx, username, func(u *hop3.User) error {
		if u.Active = active; !active {
			u.EndLogins("")
		}
		return nil
	}, userEvent(asked(ctx, who), hop3.EventUserChanged, username, "%s was %s", username, map[bool]string{true: "enabled", false: "disabled"}[active]))
	return err
}

// endLogins ends a user's logins, but for the one by which they ask for it
// themselves.
func endLogins(u *hop3.User, who Actor) {
	kept := ""
	if who.Username == u.Username {
		kept = who.Login
	}
	u.EndLogins(kept)
}

func adminOnly(who Actor) error {
	if who.Admin {
		return nil
	}
	return hop3.Errorf(hop3.CodeForbidden, "Admin privileges required")
}

func selfOrAdmin(who Actor, username string) error {
	if who.Username == username && username != "" {
		return nil
	}
	return adminOnly(who)
}

func otherOnly(who Actor, username, verb string) error {
	if err := adminOnly(who); err != nil {
		return err
	}
	if who.Username == username {
		return hop3.Errorf(hop3.CodeForbidden, "You cannot %s your own account.", verb)
	}
	return nil
}

func validateEmail(email string) error {
	name, domain, ok := strings.Cut(email, "@")
	if !ok || name == "" || domain == "" || len(email) > 254 || strings.ContainsFunc(email, notInEmail) {
		return hop3.Errorf(hop3.CodeInvalid, "%.80q is not an e-mail address", email)
	}
	return nil
}

func notInEmail(r rune) bool { return r <= ' ' || r == 0x7f || r == '<' || r == '>' }
