package hop3

import (
	"time"
)

// User is an account. A user with Admin may also manage users and the server.
type User struct {
	Username     string
	Email        string
	PasswordHash string // PHC string; empty: no login by password
	Admin        bool
	Role         Role          // on every app; RoleNone for what teams and grants say
	SecondFactor *SecondFactor // nil: a password is enough
	Active       bool
	LoginCount   int
	LastLogin    time.Time
	CreatedAt    time.Time
	// LoginGeneration is that of the logins that count: those of an earlier one
	// have ended, but for KeptLogin, the Token.ID of the one that ended them.
	LoginGeneration int
	KeptLogin       string
}

// EndLogins ends the user's logins, but for the one with the Token.ID kept; ""
// for all. Tokens with a name are none.
func (u *User) EndLogins(kept string) {
	u.LoginGeneration++
	u.KeptLogin = kept
}

// Holds reports whether a token, whose signature and time are right, has not
// been ended by EndLogins.
func (u *User) Holds(t Token) bool {
	return t.Named || t.Generation == u.LoginGeneration || t.ID != "" && t.ID == u.KeptLogin
}

// Key is a user's public SSH key.
type Key struct {
	Username    string
	Fingerprint string // SHA256:… as ssh-keygen -l prints it; unique
	PublicKey   string // one authorized_keys line: type, base64, comment
	Comment     string
	CreatedAt   time.Time
}

var username = pattern(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,79}$`)

// ValidateUsername reports a CodeInvalid error unless name can be a user's.
func ValidateUsername(name string) error {
	if username().MatchString(name) {
		return nil
	}
	return Errorf(CodeInvalid, "%q cannot be a username", shorten(name, 80)).
		WithHint("Use up to 80 letters, digits and . _ @ + -, beginning with a letter or digit.")
}
