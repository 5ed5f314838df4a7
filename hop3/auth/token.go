package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/abilian/hop3/hop3"
)

// The scopes of tokens. What a user may do is read from the account, not from
// the token.
const (
	scopeAuthenticated = "authenticated"
	scopeAdmin         = "admin"
	scopeUser          = "user"
	scopeMagic         = "magic_link"
)

type claims struct {
	Scopes     []string `json:"scopes"`
	Generation int      `json:"gen,omitempty"`
	jwt.RegisteredClaims
}

// namedPrefix begins the ID of a token that is good only as long as somebody
// remembers it: the signature covers it, so that none can lose it.
const namedPrefix = "api."

// IssueToken returns a new token for the user.
func (a *Auth) IssueToken(u hop3.User) (string, error) {
	c := a.claimsOf(u, newID(), a.lifetime)
	return a.sign(c)
}

// IssueNamed returns a new token for the user that is good as long as somebody
// remembers its ID. What it is good for is remembered with that: its scopes
// are those of any token, which is what clients know.
func (a *Auth) IssueNamed(u hop3.User, scope hop3.Scope, lifetime time.Duration) (string, hop3.Token, error) {
	u.Admin = u.Admin && scope.Full()
	c := a.claimsOf(u, namedPrefix+newID(), lifetime)
	text, err := a.sign(c)
	return text, c.token(), err
}

func newID() string {
	id := make([]byte, 16)
	rand.Read(id)
	return base64.RawURLEncoding.EncodeToString(id)
}

func (a *Auth) claimsOf(u hop3.User, id string, lifetime time.Duration) claims {
	now := a.now()
	c := claims{
		Scopes:     []string{scopeAuthenticated},
		Generation: u.LoginGeneration,
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   u.Username,
			ID:        id,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
		},
	}
	if u.Admin {
		c.Scopes = append(c.Scopes, scopeAdmin)
	}
	return c
}

func (a *Auth) sign(c claims) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(a.secret)
}

func (c claims) token() hop3.Token {
	return hop3.Token{
		ID:         c.ID,
		Username:   c.Subject,
		Scopes:     c.Scopes,
		Issued:     c.IssuedAt.Time,
		Expires:    c.ExpiresAt.Time,
		Generation: c.Generation,
		Named:      strings.HasPrefix(c.ID, namedPrefix),
	}
}

// magicLifetime is how long a magic link is good.
const magicLifetime = 5 * time.Minute

// IssueMagic returns a text that logs the user in: a token of a scope that
// ParseToken refuses.
func (a *Auth) IssueMagic(u hop3.User) (string, error) {
	c := a.claimsOf(u, newID(), magicLifetime)
	c.Scopes = []string{scopeMagic}
	return a.sign(c)
}

// ParseMagic returns what the text of a magic link says, or a CodeUnauthorized
// error. That it is used once is for others to see to.
func (a *Auth) ParseMagic(text string) (hop3.Token, error) {
	return a.parse(text, func(scope string) bool { return scope == scopeMagic })
}

// ParseToken returns what a token says, or a CodeUnauthorized error when it is
// not ours or its time is over.
func (a *Auth) ParseToken(token string) (hop3.Token, error) { return a.parse(token, known) }

func (a *Auth) parse(token string, known func(scope string) bool) (hop3.Token, error) {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return a.secret, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(a.now))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return hop3.Token{}, refuse("The token has expired.")
	case err != nil:
		return hop3.Token{}, refuse("The token is not valid.")
	case c.Subject == "" || c.ID == "" || c.IssuedAt == nil || !slices.ContainsFunc(c.Scopes, known):
		return hop3.Token{}, refuse("The token is not valid.")
	}
	return c.token(), nil
}

func known(scope string) bool {
	return scope == scopeAuthenticated || scope == scopeAdmin || scope == scopeUser
}

func refuse(why string) error {
	return hop3.Errorf(hop3.CodeUnauthorized, "%s", why).WithHint("Use 'hop3 login' to get a new one.")
}
