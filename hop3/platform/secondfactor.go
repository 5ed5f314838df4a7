package platform

import (
	"cmp"
	"context"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// SecondFactors makes and checks second factors. See hop3/auth.
type SecondFactors interface {
	NewSecondFactor() hop3.SecondFactor // not confirmed
	SecondFactorURL(f hop3.SecondFactor, issuer, username string) string
	// NewRecoveryCodes gives f new recovery codes and returns them.
	NewRecoveryCodes(f *hop3.SecondFactor) []string
	// TakeCode reports whether a code proves f, and notes in f that the code
	// was taken.
	TakeCode(f *hop3.SecondFactor, code string) bool
}

// EnableSecondFactor begins to give the actor's account a second factor, and
// returns its secret and its URL for a telephone. Nobody is asked for codes
// before ConfirmSecondFactor.
func (p *Platform) EnableSecondFactor(ctx context.Context, who Actor) (secret, url string, err error) {
	if err := ownAccount(who, who.Username); err != nil {
		return "", "", err
	}
	f := p.Auth.NewSecondFactor()
	_, err = p.Store.UpdateUser(ctx, who.Username, func(u *hop3.User) error {
		if u.SecondFactor.Required() {
			return hop3.Errorf(hop3.CodeConflict, "Your account has a second factor.").
				WithHint("`hop3 auth totp disable CODE` takes it away.")
		}
		u.SecondFactor = &f
		return nil
	}, userEvent(asked(ctx, who), hop3.EventUserChanged, who.Username, "%s began to set up a second factor", who.Username))
	if err != nil {
		return "", "", err
	}
	issuer := cmp.Or(p.Settings.ControlHost, p.Settings.BaseDomain, "hop3")
	return f.Secret, p.Auth.SecondFactorURL(f, issuer, who.Username), nil
}

// ConfirmSecondFactor makes the second factor count, once a code has shown that
// the telephone has it, ends the logins that came without, and returns the recovery codes, which are kept nowhere.
func (p *Platform) ConfirmSecondFactor(ctx context.Context, who Actor, code string) (recovery []string, err error) {
	if err := ownAccount(who, who.Username); err != nil {
		return nil, err
	}
	if !p.Auth.AllowAccount(who.Username) {
		return nil, tooManyAttempts()
	}
	_, err = p.Store.UpdateUser(ctx, who.Username, func(u *hop3.User) error {
		switch {
		case u.SecondFactor == nil:
			return hop3.Errorf(hop3.CodeConflict, "There is nothing to confirm.").WithHint("`hop3 auth totp enable` begins.")
		case u.SecondFactor.Confirmed:
			return hop3.Errorf(hop3.CodeConflict, "Your second factor is confirmed already.")
		case !p.Auth.TakeCode(u.SecondFactor, code):
			return hop3.Errorf(hop3.CodeInvalid, "The code is not right.").WithHint("Is the clock of your telephone right?")
		}
		u.SecondFactor.Confirmed = true
		endLogins(u, who)
		recovery = p.Auth.NewRecoveryCodes(u.SecondFactor)
		return nil
	}, userEvent(asked(ctx, who), hop3.EventUserChanged, who.Username, "%s has a second factor", who.Username))
	if err == nil {
		p.evict(ctx, who.Username)
		p.Logger.Info("second factor enabled", zap.String("user", who.Username))
	}
	return recovery, err
}

// DisableSecondFactor takes a second factor away: of the actor's own account
// with a code, of another's as an administrator, without. It ends the user's
// logins, but for the actor's own.
func (p *Platform) DisableSecondFactor(ctx context.Context, who Actor, username, code string) error {
	if err := ownAccount(who, username); err != nil {
		return err
	}
	own := who.Username == username
	if own && !p.Auth.AllowAccount(username) {
		return tooManyAttempts()
	}
	_, err := p.Store.UpdateUser(ctx, username, func(u *hop3.User) error {
		switch {
		case u.SecondFactor == nil:
			return hop3.Errorf(hop3.CodeNotFound, "User '%s' has no second factor.", username)
		case own && u.SecondFactor.Confirmed && !p.Auth.TakeCode(u.SecondFactor, code):
			return hop3.Errorf(hop3.CodeInvalid, "The code is not right, or was used before.")
		}
		u.SecondFactor = nil
		endLogins(u, who)
		return nil
	}, userEvent(asked(ctx, who), hop3.EventUserChanged, username, "%s has no second factor any more", username))
	if err == nil {
		p.evict(ctx, username)
		p.Logger.Info("second factor disabled", zap.String("user", username), zap.String("by", who.Username))
	}
	return err
}
