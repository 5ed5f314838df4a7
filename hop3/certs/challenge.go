package certs

import (
	"encoding/json"
	"net/http"
	"path"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"github.com/abilian/hop3/hop3"
)

// AnswerChallenge answers an HTTP challenge (RFC 8555, section 8.3) that
// another server began with whom we share the storage, and reports whether it
// did. Those that this process began are answered by Caddy.
func (k *Keeper) AnswerChallenge(w http.ResponseWriter, r *http.Request) bool {
	if !certmagic.LooksLikeHTTPChallenge(r) {
		return false
	}
	host := hop3.NormalizeHost(r.Host)
	if hop3.ValidateHost(host) != nil {
		return false
	}
	k.mu.Lock()
	s := k.sources
	k.mu.Unlock()
	if s == nil || !s.shared {
		return false
	}
	for _, issuer := range s.public.Issuers {
		// Where certmagic puts what it told an authority.
		key := path.Join("acme", certmagic.StorageKeys.Safe(issuer.IssuerKey()), "challenge_tokens", certmagic.StorageKeys.Safe(host)+".json")
		text, err := s.public.Storage.Load(r.Context(), key)
		var challenge acme.Challenge
		if err == nil && json.Unmarshal(text, &challenge) == nil && certmagic.SolveHTTPChallenge(k.options.Logger, w, r, challenge) {
			return true
		}
	}
	return false
}
