// Package auth makes and checks what proves an identity: passwords, tokens and
// SSH keys. It knows no accounts; see platform/users.go for those.
package auth

import (
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// MinSecret is the length in bytes below which a secret is refused.
const MinSecret = 32

// Auth is safe for concurrent use.
type Auth struct {
	secret   []byte
	lifetime time.Duration
	hashing  chan struct{} // a place for each password being hashed

	mu       sync.Mutex
	attempts map[string][]time.Time // login attempts by source
	swept    time.Time              // when attempts was last cleared of old ones
	now      func() time.Time
}

// New returns an Auth that signs tokens with secret; they live for lifetime,
// 24 hours when it is 0.
func New(secret []byte, lifetime time.Duration) (*Auth, error) {
	if len(secret) < MinSecret {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the secret key has %d bytes; it needs at least %d", len(secret), MinSecret)
	}
	if lifetime <= 0 {
		lifetime = 24 * time.Hour
	}
	return &Auth{
		secret:   append([]byte(nil), secret...),
		lifetime: lifetime,
		hashing:  make(chan struct{}, maxHashing),
		attempts: make(map[string][]time.Time),
		now:      time.Now,
	}, nil
}
