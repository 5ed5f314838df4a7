package hop3

import (
	"regexp"
	"time"
)

// Token is what a token says of its bearer. That it says so proves nothing of
// the account's present state: who takes a token also asks whether it was
// revoked, and whether the user is still active.
type Token struct {
	ID       string // jti
	Username string
	Scopes   []string
	Issued   time.Time
	Expires  time.Time
	// Generation is User.LoginGeneration as it was.
	Generation int
	// Named says that it is an APIToken, which is good as long as that is
	// remembered; Scope is what is remembered of it, FullScope for others.
	Named bool
	Scope Scope
}

// APIToken is what is remembered of a token that a user made and named. The
// token itself is shown once and kept nowhere.
type APIToken struct {
	ID        string // jti
	Username  string
	Name      string // unique among those of the user
	Scope     Scope
	CreatedAt time.Time
	Expires   time.Time
	LastUsed  time.Time // to the minute or so; zero when never
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)

// ValidateTokenName reports a CodeInvalid error unless name can be a token's.
func ValidateTokenName(name string) error {
	if tokenName.MatchString(name) {
		return nil
	}
	return Errorf(CodeInvalid, "%q cannot be a token's name", shorten(name, 80)).
		WithHint("Use up to 40 letters, digits and . _ -, beginning with a letter or digit.")
}
