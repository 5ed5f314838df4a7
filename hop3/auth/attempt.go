package auth

import (
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/abilian/hop3/hop3"
)

// scopeSignOn is that of an attempt to log in at an OpenID provider.
const scopeSignOn = "sign_on"

// attemptClaims are an attempt as its browser keeps it. The browser may read
// them: all that is in them was made for it.
type attemptClaims struct {
	Scopes   []string `json:"scopes"`
	State    string   `json:"state"`
	Nonce    string   `json:"nonce"`
	Verifier string   `json:"verifier"`
	Next     string   `json:"next,omitempty"`
	Link     string   `json:"link,omitempty"`
	jwt.RegisteredClaims
}

// SealAttempt returns a text that OpenAttempt alone takes, until the attempt's
// time is over, and nobody can change.
func (a *Auth) SealAttempt(at hop3.SignOnAttempt) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, attemptClaims{
		Scopes: []string{scopeSignOn}, State: at.State, Nonce: at.Nonce, Verifier: at.Verifier, Next: at.Next, Link: at.Link,
		RegisteredClaims: jwt.RegisteredClaims{
			ID: at.ID, IssuedAt: jwt.NewNumericDate(a.now()), ExpiresAt: jwt.NewNumericDate(at.Expires),
		},
	}).SignedString(a.secret)
}

// OpenAttempt returns what SealAttempt sealed, or a CodeUnauthorized error.
func (a *Auth) OpenAttempt(text string) (hop3.SignOnAttempt, error) {
	var c attemptClaims
	_, err := jwt.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return a.secret, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(a.now))
	if err == nil && (len(c.Scopes) != 1 || c.Scopes[0] != scopeSignOn || c.ID == "") {
		err = errors.New("it is something else")
	}
	if err != nil {
		return hop3.SignOnAttempt{}, hop3.Errorf(hop3.CodeUnauthorized, "the attempt is not good: %w", err)
	}
	return hop3.SignOnAttempt{
		ID: c.ID, State: c.State, Nonce: c.Nonce, Verifier: c.Verifier, Next: c.Next, Link: c.Link,
		Expires: c.ExpiresAt.Time.Round(time.Second),
	}, nil
}
