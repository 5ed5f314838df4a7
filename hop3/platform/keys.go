package platform

import (
	"context"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Keys returns the SSH keys of a user, or everybody's for an administrator who
// names none.
func (p *Platform) Keys(ctx context.Context, who Actor, username string) ([]hop3.Key, error) {
	if err := ownAccount(who, username); err != nil {
		return nil, err
	}
	all, err := p.Store.Keys(ctx)
	if err != nil || username == "" {
		return all, err
	}
	var keys []hop3.Key
	for _, k := range all {
		if k.Username == username {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// AddKey gives a user a key: one line of a .pub file. The server's own
// administrator names whom; everybody may add keys for themselves.
func (p *Platform) AddKey(ctx context.Context, who Actor, username, line string) (hop3.Key, error) {
	if err := ownAccount(who, username); err != nil {
		return hop3.Key{}, err
	}
	if _, err := p.Store.User(ctx, username); err != nil {
		return hop3.Key{}, err
	}
	k, err := p.Auth.ParseKey(line)
	if err != nil {
		return hop3.Key{}, err
	}
	k.Username = username
	k.CreatedAt = time.Now()
	return k, p.Store.AddKey(ctx, k, userEvent(asked(ctx, who), hop3.EventKeyAdded, username, "a key of %s was added: %s", username, k.Fingerprint))
}

// RemoveKey takes a key away. It is named by its fingerprint, or a beginning
// of it that only one of the caller's keys has.
func (p *Platform) RemoveKey(ctx context.Context, who Actor, fingerprint string) (hop3.Key, error) {
	owner := who.Username
	if who.Admin {
		owner = ""
	}
	keys, err := p.Keys(ctx, who, owner)
	if err != nil {
		return hop3.Key{}, err
	}
	var found []hop3.Key
	for _, k := range keys {
		if fingerprint != "" && matchesFingerprint(k.Fingerprint, fingerprint) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return hop3.Key{}, hop3.Errorf(hop3.CodeNotFound, "Key %.80q not found.", fingerprint)
	case 1:
		k := found[0]
		defer p.evict(ctx, k.Username)
		return k, p.Store.RemoveKey(ctx, k.Fingerprint, userEvent(asked(ctx, who), hop3.EventKeyRemoved, k.Username, "a key of %s was removed: %s", k.Username, k.Fingerprint))
	default:
		return hop3.Key{}, hop3.Errorf(hop3.CodeConflict, "%.80q is the beginning of %d keys.", fingerprint, len(found))
	}
}

func matchesFingerprint(full, given string) bool {
	return strings.HasPrefix(full, given) || strings.HasPrefix(strings.TrimPrefix(full, "SHA256:"), given)
}
