package platform

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// SingleSignOn has people log in at an OpenID provider. See hop3/oidc.
type SingleSignOn interface {
	// Issuer is the provider's name.
	Issuer() string
	// Begin returns an attempt and the address where it goes on.
	Begin(ctx context.Context) (attempt hop3.SignOnAttempt, address string, err error)
	// Finish returns who has logged in there, or a CodeUnauthorized error.
	Finish(ctx context.Context, attempt hop3.SignOnAttempt, answer hop3.SignOnAnswer) (hop3.Identity, error)
}

// Identities is the part of the store that knows how OpenID providers know
// users.
type Identities interface {
	IdentityUser(ctx context.Context, issuer, subject string) (hop3.User, error)
	Identities(ctx context.Context, username string) ([]hop3.Identity, error)
	LinkIdentity(ctx context.Context, i hop3.Identity, username string, events ...hop3.Event) error // CodeConflict
	UnlinkIdentities(ctx context.Context, username string, events ...hop3.Event) (int, error)
	// CreateIdentityUser is CreateUser of somebody with an identity, who is in
	// the default team when member says so.
	CreateIdentityUser(ctx context.Context, u hop3.User, i hop3.Identity, member bool, events ...hop3.Event) error // CodeConflict
}

// SignedIn is what became of a login in a browser.
type SignedIn struct {
	// Token is the login's; "" while a code of the second factor is missing, for
	// which RedeemMagicLink takes Link.
	Token string
	Link  string
	Next  string // where the browser wanted to go; see hop3.SignOnAttempt
}

// SignIn is Login for a browser, which asks for the code of a second factor on
// a page of its own.
func (p *Platform) SignIn(ctx context.Context, source, username, password string) (SignedIn, error) {
	token, err := p.Login(ctx, source, username, password, "")
	if !errors.Is(err, ErrCodeNeeded) {
		return SignedIn{Token: token}, err
	}
	u, err := p.Store.User(ctx, username)
	if err != nil {
		return SignedIn{}, err
	}
	link, err := p.Auth.IssueMagic(u)
	return SignedIn{Link: link}, err
}

// BeginSignOn begins a login by single sign-on. The browser goes on at address,
// and keeps sealed for FinishSignOn.
func (p *Platform) BeginSignOn(ctx context.Context, next string) (address, sealed string, err error) {
	return p.beginSignOn(ctx, next, "")
}

// BeginLink is BeginSignOn to link the provider's identity to the actor's
// account. It takes a login: a token is for programs.
func (p *Platform) BeginLink(ctx context.Context, who Actor, next string) (address, sealed string, err error) {
	if err := ownAccount(who, who.Username); err != nil {
		return "", "", err
	}
	if who.Login == "" {
		return "", "", hop3.Errorf(hop3.CodeForbidden, "This takes a login.")
	}
	return p.beginSignOn(ctx, next, who.Username)
}

func (p *Platform) beginSignOn(ctx context.Context, next, link string) (address, sealed string, err error) {
	if p.SignOn == nil {
		return "", "", hop3.Errorf(hop3.CodeNotFound, "This server has no single sign-on.").WithHint("OIDC_ISSUER sets one up.")
	}
	attempt, address, err := p.SignOn.Begin(ctx)
	if err != nil {
		p.Logger.Warn("single sign-on", zap.Error(err))
		return "", "", hop3.Errorf(hop3.CodeUnavailable, "The provider of single sign-on does not answer as it should. The server's log says more.")
	}
	attempt.Next, attempt.Link = next, link
	sealed, err = p.Auth.SealAttempt(attempt)
	return address, sealed, err
}

// FinishSignOn ends what BeginSignOn and BeginLink began. The actor is whoever
// is logged in in that browser, the zero Actor for nobody. Whatever the browser
// or the provider did wrong, the error is the same CodeUnauthorized one; who is
// somebody, but may not come in, is told why with CodeForbidden or CodeConflict.
func (p *Platform) FinishSignOn(ctx context.Context, who Actor, source, sealed string, answer hop3.SignOnAnswer) (SignedIn, error) {
	if p.SignOn == nil {
		return SignedIn{}, hop3.Errorf(hop3.CodeNotFound, "This server has no single sign-on.")
	}
	if !p.Auth.Allow(source) {
		p.noteBurst(event(ctx, hop3.EventLoginFailed, "", "too many login attempts"), source)
		return SignedIn{}, tooManyAttempts()
	}
	attempt, err := p.Auth.OpenAttempt(sealed)
	var identity hop3.Identity
	if err == nil {
		identity, err = p.SignOn.Finish(ctx, attempt, answer)
	}
	if err == nil {
		// Of several who come at once, the database lets one through.
		var first bool
		if first, err = p.Store.UseToken(ctx, attempt.ID, attempt.Expires); err == nil && !first {
			err = hop3.Errorf(hop3.CodeUnauthorized, "the attempt was used before")
		}
	}
	if err == nil {
		if attempt.Link != "" {
			err = p.linkIdentity(ctx, who, attempt.Link, identity)
			return SignedIn{Next: attempt.Next}, err
		}
		var in SignedIn
		in, err = p.signOn(ctx, source, identity)
		in.Next = attempt.Next
		return in, err
	}
	p.Logger.Warn("single sign-on", zap.String("from", source), zap.Error(err))
	if hop3.CodeOf(err) != hop3.CodeUnauthorized {
		return SignedIn{}, hop3.Errorf(hop3.CodeUnavailable, "The provider of single sign-on does not answer as it should. The server's log says more.")
	}
	p.noteBurst(event(ctx, hop3.EventLoginFailed, "", "a login by single sign-on was refused"), source)
	return SignedIn{}, hop3.Errorf(hop3.CodeUnauthorized, "The login was not finished: it took too long, was begun in another browser, or the provider refused it.").
		WithHint("Begin again; the server's log says what was wrong.")
}

// signOn logs somebody in whom the provider has proved.
func (p *Platform) signOn(ctx context.Context, source string, i hop3.Identity) (SignedIn, error) {
	rules := p.Settings.SignOn
	u, err := p.Store.IdentityUser(ctx, i.Issuer, i.Subject)
	known := err == nil
	if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
		return SignedIn{}, err
	}
	admitted := rules.Admit(i)
	switch {
	case known:
		// Also of who is not let in any more: what they had by a group goes.
		err = p.followGroups(ctx, u, i.Groups)
	case admitted == nil:
		if u, err = p.newIdentityUser(ctx, i); err == nil {
			err = p.followGroups(ctx, u, i.Groups)
		}
	default:
		err = nil
	}
	if admitted != nil && err == nil {
		err = admitted
	}
	if err == nil && !u.Active {
		err = hop3.Errorf(hop3.CodeForbidden, "Your account is disabled.")
	}
	if err != nil {
		if code := hop3.CodeOf(err); code == hop3.CodeForbidden || code == hop3.CodeConflict {
			p.noteBurst(event(ctx, hop3.EventLoginFailed, "", "somebody whom the provider knows was refused: %s", hop3.MessageOf(err)), source)
		}
		return SignedIn{}, err
	}
	if u.SecondFactor.Required() {
		link, err := p.Auth.IssueMagic(u)
		return SignedIn{Link: link}, err
	}
	e := event(ctx, hop3.EventLoginSucceeded, "", "%s logged in by single sign-on", u.Username)
	e.Actor = u.Username
	if u, err = p.noteLogin(ctx, u.Username, nil, e); err != nil {
		return SignedIn{}, err
	}
	token, err := p.Auth.IssueToken(u)
	return SignedIn{Token: token}, err
}

// newIdentityUser makes the account of somebody who comes for the first time.
// Nobody gets an account that is there by having its name or its address at a
// provider: its owner links it.
func (p *Platform) newIdentityUser(ctx context.Context, i hop3.Identity) (hop3.User, error) {
	rules := p.Settings.SignOn
	if !rules.Create {
		return hop3.User{}, hop3.Errorf(hop3.CodeForbidden, "No account of this server is linked to you.").
			WithHint("Log in as you did before, and link it on the page /auth/profile; or ask an administrator for an account.")
	}
	u := hop3.User{Username: strings.ToLower(i.Username), Email: i.Email, Active: true, CreatedAt: time.Now()}
	if err := hop3.ValidateUsername(u.Username); err != nil || slices.Contains(notPeople, u.Username) {
		return hop3.User{}, hop3.Errorf(hop3.CodeForbidden, "What your provider calls you cannot be a username here.").
			WithHint("OIDC_USERNAME_CLAIM says where the server looks for it.")
	}
	if validateEmail(u.Email) != nil {
		u.Email = ""
	}
	users, err := p.Store.Users(ctx)
	if err != nil {
		return hop3.User{}, err
	}
	taken := hop3.Errorf(hop3.CodeConflict, "There is an account '%s' already, which is not linked to you.", u.Username).
		WithHint("If it is yours, log in as you did before and link it on the page /auth/profile.")
	if slices.ContainsFunc(users, func(other hop3.User) bool { return strings.EqualFold(other.Username, u.Username) }) {
		return hop3.User{}, taken
	}
	e := userEvent(ctx, hop3.EventUserAdded, u.Username, "the account %s was made by single sign-on", u.Username)
	e.Actor = u.Username
	err = p.Store.CreateIdentityUser(ctx, u, i, len(rules.Groups) == 0, e)
	if hop3.CodeOf(err) == hop3.CodeConflict { // since then
		return hop3.User{}, taken
	}
	return u, err
}

// notPeople are the actors of events who are no users.
var notPeople = []string{"host", "webhook", "cron", "server", "hop3"}

// followGroups gives a user what the rules say of their groups.
func (p *Platform) followGroups(ctx context.Context, u hop3.User, groups []string) error {
	everywhere, said, teams := p.Settings.SignOn.Roles(groups)
	if !said && len(teams) == 0 {
		return nil
	}
	rights, err := p.Store.Rights(ctx, u.Username)
	if err != nil {
		return err
	}
	less := false
	if admin := everywhere == hop3.RoleAdmin; said && (admin != u.Admin || !admin && everywhere != u.Role) {
		less = u.Admin && !admin || everywhere < u.Role
		e := userEvent(ctx, hop3.EventUserChanged, u.Username, "%s has the role %s on every app, by the groups of single sign-on", u.Username, everywhere)
		_, err = p.Store.UpdateUser(ctx, u.Username, func(u *hop3.User) error {
			if u.Admin = admin; !admin {
				u.Role = everywhere
			}
			return nil
		}, e)
	}
	for _, team := range slices.Sorted(maps.Keys(teams)) {
		if role := teams[team]; err == nil && u.Active && role != rights.Teams[team] {
			less = less || role < rights.Teams[team]
			e := rightsEvent(ctx, "", "%s has the role %s in team %s, by the groups of single sign-on", u.Username, role, team)
			err = p.Store.SetMember(ctx, team, hop3.Member{Username: u.Username, Role: role}, e)
			if hop3.CodeOf(err) == hop3.CodeNotFound {
				p.Logger.Warn("a team of OIDC_GROUP_ROLES does not exist", zap.String("team", team))
				err = nil
			}
		}
	}
	if less {
		p.evict(ctx, u.Username)
	}
	return err
}

// linkIdentity links an identity to the account it was begun for, which must
// still be logged in in that browser.
func (p *Platform) linkIdentity(ctx context.Context, who Actor, username string, i hop3.Identity) error {
	if who.Username != username || who.Login == "" {
		return hop3.Errorf(hop3.CodeForbidden, "You are not logged in as '%s' any more.", username).WithHint("Log in and begin again.")
	}
	if err := ownAccount(who, username); err != nil {
		return err
	}
	if err := p.Settings.SignOn.Admit(i); err != nil {
		return err
	}
	e := userEvent(asked(ctx, who), hop3.EventUserChanged, username, "single sign-on was linked to %s", username)
	err := p.Store.LinkIdentity(ctx, hop3.Identity{Issuer: i.Issuer, Subject: i.Subject}, username, e)
	if hop3.CodeOf(err) != hop3.CodeConflict {
		return err
	}
	if u, findErr := p.Store.IdentityUser(ctx, i.Issuer, i.Subject); findErr == nil && u.Username == username {
		return nil
	}
	return err
}

// Linked reports whether the actor's account is linked to the provider of single
// sign-on, and whether there is one.
func (p *Platform) Linked(ctx context.Context, who Actor) (linked, offered bool, err error) {
	if err := selfOrAdmin(who, who.Username); err != nil {
		return false, false, err
	}
	if p.SignOn == nil {
		return false, false, nil
	}
	list, err := p.Store.Identities(ctx, who.Username)
	return slices.ContainsFunc(list, func(i hop3.Identity) bool { return i.Issuer == p.SignOn.Issuer() }), true, err
}

// Unlink takes the identities of single sign-on from an account, and ends its
// logins, but for the actor's own.
func (p *Platform) Unlink(ctx context.Context, who Actor, username string) error {
	if err := ownAccount(who, username); err != nil {
		return err
	}
	if _, err := p.Store.User(ctx, username); err != nil {
		return err
	}
	n, err := p.Store.UnlinkIdentities(ctx, username, userEvent(asked(ctx, who), hop3.EventUserChanged, username, "single sign-on is not linked to %s any more", username))
	if err != nil {
		return err
	}
	if n == 0 {
		return hop3.Errorf(hop3.CodeNotFound, "'%s' is not linked to single sign-on.", username)
	}
	_, err = p.Store.UpdateUser(ctx, username, func(u *hop3.User) error {
		endLogins(u, who)
		return nil
	})
	p.evict(ctx, username)
	return err
}
