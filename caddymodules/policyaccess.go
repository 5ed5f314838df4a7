package caddymodules

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"

	"github.com/abilian/hop3/hop3"
)

// networks are the addresses of a list.
type networks []netip.Prefix

func parseNetworks(list []string) networks {
	var out networks
	for _, text := range list {
		if prefix, err := netip.ParsePrefix(text); err == nil { // validated when it was set
			out = append(out, prefix)
		}
	}
	return out
}

func (n networks) contain(addr netip.Addr) bool {
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// clientAddr is the address of the client, as a trusted proxy says or as the
// connection has it. Without one ok is false, and nobody is let in by it.
func clientAddr(r *http.Request) (addr netip.Addr, ok bool) {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	addr, err := netip.ParseAddr(text)
	return addr.Unmap().WithZone(""), err == nil
}

// protects reports whether allow and basic auth are for this request.
func (p *policy) protects(r *http.Request) bool {
	if len(p.Protect) == 0 {
		return true
	}
	return hop3.ProtectedPath(r.URL.EscapedPath(), p.Protect) || hop3.ProtectedPath(r.URL.Path, p.Protect)
}

// admits reports whether the client's address may come.
func (p *policy) admits(r *http.Request) bool {
	if len(p.Allow)+len(p.Deny) == 0 {
		return true
	}
	addr, ok := clientAddr(r)
	if !ok || p.deny.contain(addr) {
		return false
	}
	return len(p.Allow) == 0 || p.allow.contain(addr) || !p.protects(r)
}

// closedTo reports whether the app is closed to this client.
func (p *policy) closedTo(r *http.Request) bool {
	if p.Maintenance == nil {
		return false
	}
	addr, ok := clientAddr(r)
	return !ok || !p.spare.contain(addr)
}

// exceeds returns how long the client has to wait before its next request, 0
// when it may be served.
func (p *policy) exceeds(r *http.Request) time.Duration {
	if p.visitors == nil {
		return 0
	}
	addr, _ := clientAddr(r) // those without one share a bucket
	return p.visitors.take(addr, time.Now())
}

// limitBody keeps the body within its limit. It returns false when it is known
// to be too large.
func (p *policy) limitBody(w http.ResponseWriter, r *http.Request) bool {
	if p.MaxBody == 0 || r.Body == nil || r.Body == http.NoBody {
		return true
	}
	if r.ContentLength > p.MaxBody {
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, p.MaxBody)
	return true
}

// maxChecks is how many passwords are checked at the same time, and so how
// much memory and time strangers can make us spend.
const maxChecks = 2

var checking = make(chan struct{}, maxChecks)

// checkWait is how long a request waits for its password to be checked.
const checkWait = 5 * time.Second

// authenticate asks for a password where the policy wants one. done says that
// the request was answered here.
func (a *Apps) authenticate(w http.ResponseWriter, r *http.Request, p *policy) (done bool, err error) {
	if p.passwords == nil || !p.protects(r) {
		return false, nil
	}
	user, password, ok := r.BasicAuth()
	if ok {
		ctx, cancel := context.WithTimeout(r.Context(), checkWait)
		defer cancel()
		if ok, err = p.passwords.check(ctx, user, password); err != nil {
			return true, a.pages.write(w, r, pageBusy)
		}
	}
	if ok {
		return false, nil
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="`+p.app+`", charset="UTF-8"`)
	return true, a.pages.write(w, r, pageUnauthorized)
}

// passwords checks the passwords of an app's users. It remembers those that
// were right, because checking one is made to be slow. Its methods are safe
// for concurrent use.
type passwords struct {
	hashes map[string]string
	key    [32]byte

	mu    sync.Mutex
	right map[[32]byte]struct{} // marks of what was right
}

// maxRight bounds what is remembered of one app.
const maxRight = 1024

func newPasswords(hashes map[string]string) *passwords {
	p := &passwords{hashes: hashes, right: map[[32]byte]struct{}{}}
	rand.Read(p.key[:])
	return p
}

// remember takes over what an earlier one knows. A mark holds for the hash it
// was made with only.
func (p *passwords) remember(old *passwords) {
	old.mu.Lock()
	defer old.mu.Unlock()
	p.key = old.key
	for mark := range old.right {
		p.right[mark] = struct{}{}
	}
}

// check reports whether a password is the user's. It fails when ctx ends
// first.
func (p *passwords) check(ctx context.Context, user, password string) (bool, error) {
	const longest = 1024
	if len(password) > longest || len(user) > longest {
		return false, nil
	}
	hash, known := p.hashes[user]
	mark := p.mark(hash, user, password)
	p.mu.Lock()
	_, right := p.right[mark]
	p.mu.Unlock()
	if right && known {
		return true, nil
	}
	select {
	case checking <- struct{}{}:
		defer func() { <-checking }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if !known { // takes as long as for a user there is
		for _, hash = range p.hashes {
			break
		}
	}
	right = comparePassword(hash, password) && known
	if right {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.right) >= maxRight {
			clear(p.right)
		}
		p.right[mark] = struct{}{}
	}
	return right, nil
}

func (p *passwords) mark(hash, user, password string) (mark [32]byte) {
	h := hmac.New(sha256.New, p.key[:])
	h.Write([]byte(hash + "\x00" + user + "\x00" + password))
	h.Sum(mark[:0])
	return mark
}

// comparePassword reports whether a hash, bcrypt or argon2id, is the
// password's.
func comparePassword(hash, password string) bool {
	var comparer caddyauth.Comparer = caddyauth.BcryptHash{}
	if strings.HasPrefix(hash, "$argon2id$") {
		comparer = caddyauth.Argon2idHash{}
	}
	ok, err := comparer.Compare([]byte(hash), []byte(password))
	return ok && err == nil
}
