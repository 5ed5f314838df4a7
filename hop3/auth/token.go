package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"github.com/abilian/hop3/hop3"
)

// The scopes of tokens. What a user may do is read from the account, not from
// the token.
const (
	scopeAuthenticated = "authenticated"
	scopeAdmin         = "admin"
	scopeUser          = "user"
)

type claims struct {
	Scopes []string `json:"scopes"`
	jwt.RegisteredClaims
}

// IssueToken returns a new token for the user.
func (a *Auth) IssueToken(u hop3.User) (string, error) {
	id := make([]byte, 16)
	rand.Read(id)
	now := a.now()
	c := claims{
		Scopes: []string{scopeAuthenticated},
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   u.Username,
			ID:        base64.RawURLEncoding.EncodeToString(id),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(a.lifetime)),
		},
	}
	if u.Admin {
		c.Scopes = append(c.Scopes, scopeAdmin)
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(a.secret)
}

// ParseToken returns what a token says, or a CodeUnauthorized error when it is
// not ours or its time is over.
func (a *Auth) ParseToken(token string) (hop3.Token, error) {
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
	return hop3.Token{
		ID:       c.ID,
		Username: c.Subject,
		Scopes:   c.Scopes,
		Issued:   c.IssuedAt.Time,
		Expires:  c.ExpiresAt.Time,
	}, nil
}

func known(scope string) bool {
	return scope == scopeAuthenticated || scope == scopeAdmin || scope == scopeUser
}

func refuse(why string) error {
	return hop3.Errorf(hop3.CodeUnauthorized, "%s", why).WithHint("Use 'hop3 login' to get a new one.")
}
