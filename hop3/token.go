package hop3

import "time"

// Token is what a token says of its bearer. That it says so proves nothing of
// the account's present state: who takes a token also asks whether it was
// revoked, and whether the user is still active.
type Token struct {
	ID       string // jti
	Username string
	Scopes   []string
	Issued   time.Time
	Expires  time.Time
}
