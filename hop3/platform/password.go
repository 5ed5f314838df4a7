package platform

import (
	"context"

	"github.com/abilian/hop3/hop3"
)

// ChangePassword is SetPassword of the actor's own account for who knows the
// current one, and has a code where there is a second factor: a token that was
// left behind or stolen must not lock its owner out. A wrong one, or a missing
// code (api.CodeNeeded), is a CodeInvalid error; too many tries, which count as
// those of logins do, are refused with CodeForbidden. An account without a
// password is a CodeConflict error.
func (p *Platform) ChangePassword(ctx context.Context, who Actor, current, password, code string) error {
	if err := ownAccount(who, who.Username); err != nil {
		return err
	}
	if !p.Auth.AllowAccount(who.Username) {
		return tooManyAttempts()
	}
	u, err := p.Store.User(ctx, who.Username)
	if err != nil {
		return err
	}
	if u.PasswordHash == "" {
		return hop3.Errorf(hop3.CodeConflict, "Your account has no password to change.").
			WithHint("An administrator gives it one: `hop3 user set-password %s`.", u.Username)
	}
	if !p.Auth.VerifyPassword(u.PasswordHash, current) {
		p.noteBurst(userEvent(asked(ctx, who), hop3.EventLoginFailed, u.Username, "wrong current password of %s", u.Username), who.Source)
		return hop3.Errorf(hop3.CodeInvalid, "The current password is not right.")
	}
	if password == current {
		return hop3.Errorf(hop3.CodeInvalid, "The new password is the current one.")
	}
	if u.SecondFactor.Required() && code == "" {
		return hop3.Errorf(hop3.CodeInvalid, "%s", hop3.MessageOf(ErrCodeNeeded)).
			WithHint("`hop3 auth password` asks for it; `hop3 auth password CURRENT NEW CODE` takes it at once.")
	}
	hash, err := p.Auth.HashPassword(password)
	if err != nil {
		return err
	}
	old := u.PasswordHash
	_, err = p.Store.UpdateUser(ctx, who.Username, func(u *hop3.User) error {
		switch {
		case u.PasswordHash != old:
			return hop3.Errorf(hop3.CodeConflict, "Somebody has changed the password in this moment.")
		case u.SecondFactor.Required() && !p.Auth.TakeCode(u.SecondFactor, code):
			return hop3.Errorf(hop3.CodeInvalid, "%s", hop3.MessageOf(ErrCodeRefused))
		}
		u.PasswordHash = hash
		endLogins(u, who)
		return nil
	}, userEvent(asked(ctx, who), hop3.EventUserChanged, who.Username, "%s changed the password of the account", who.Username))
	if err == nil {
		p.evict(ctx, who.Username)
	}
	return err
}
