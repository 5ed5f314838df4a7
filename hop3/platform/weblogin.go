package platform

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

const (
	webLoginLifetime = 10 * time.Minute
	webLoginWait     = 20 * time.Second // of one question whether it is allowed
	maxWebLogins     = 1000
	// webLoginLetters are those of codes: no vowels, so that no words come out,
	// and none that look alike.
	webLoginLetters = "BCDFGHJKLMNPQRSTVWXZ"
	webLoginLetter  = 8 // letters of a code: 34 bits, behind a login
)

// webLogins are the command lines that wait for a browser. They do not survive
// the server: who waits begins again. The zero value is ready.
type webLogins struct {
	mu   sync.Mutex
	all  map[string]*webLogin // by secret
	code map[string]*webLogin // those that nobody has decided about
}

type webLogin struct {
	hop3.WebLogin
	decided    chan struct{} // closed when it is
	username   string        // who lets it in; "" for refused
	generation int           // of their logins then
}

// BeginWebLogin begins the login of a command line that somebody allows in a
// browser, by its code. See AwaitWebLogin.
func (p *Platform) BeginWebLogin(ctx context.Context, source, address string) (hop3.WebLogin, error) {
	if !p.Auth.Allow("web login " + source) {
		return hop3.WebLogin{}, tooManyAttempts()
	}
	now := p.now()
	l := &webLogin{decided: make(chan struct{}), WebLogin: hop3.WebLogin{
		Secret: rand.Text(), Source: address, Begun: now, Expires: now.Add(webLoginLifetime),
	}}
	w := &p.webLogins
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(now)
	if len(w.all) >= maxWebLogins {
		return hop3.WebLogin{}, hop3.Errorf(hop3.CodeUnavailable, "Too many wait to be let in by a browser. Try again in some minutes.")
	}
	if w.all == nil {
		w.all, w.code = map[string]*webLogin{}, map[string]*webLogin{}
	}
	for l.Code == "" || w.code[l.Code] != nil {
		l.Code = newWebCode()
	}
	w.all[l.Secret], w.code[l.Code] = l, l
	return l.WebLogin, nil
}

// AwaitWebLogin returns a token once somebody has let the command line in that
// has this secret, or "" when nobody has yet, some seconds later. A secret is
// good for one token; one that was refused, used, or is too old is a
// CodeUnauthorized error.
func (p *Platform) AwaitWebLogin(ctx context.Context, secret string) (token string, err error) {
	over := hop3.Errorf(hop3.CodeUnauthorized, "The login was refused, or its time is over.").WithHint("Begin again: `hop3 login --web`.")
	w := &p.webLogins
	w.mu.Lock()
	w.forget(p.now())
	l := w.all[secret]
	w.mu.Unlock()
	if l == nil {
		return "", over
	}
	wait := time.NewTimer(webLoginWait)
	defer wait.Stop()
	select {
	case <-l.decided:
	case <-wait.C:
		return "", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
	w.mu.Lock()
	mine := w.all[secret] == l // of several who wait, one gets it
	delete(w.all, secret)
	w.mu.Unlock()
	if !mine || l.username == "" {
		return "", over
	}
	u, err := p.Store.User(ctx, l.username)
	if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
		return "", err
	}
	if err != nil || !u.Active || u.LoginGeneration != l.generation {
		return "", over
	}
	e := event(ctx, hop3.EventLoginSucceeded, "", "%s logged in a command line by a browser", u.Username)
	e.Actor = u.Username
	if u, err = p.noteLogin(ctx, u.Username, nil, e); err != nil {
		return "", err
	}
	return p.Auth.IssueToken(u)
}

// WebLogin returns the login that waits under a code, without its secret, or a
// CodeNotFound error.
func (p *Platform) WebLogin(_ context.Context, who Actor, code string) (hop3.WebLogin, error) {
	if err := p.mayLetIn(who); err != nil {
		return hop3.WebLogin{}, err
	}
	w := &p.webLogins
	w.mu.Lock()
	defer w.mu.Unlock()
	l, err := w.find(p.now(), code)
	if err != nil {
		return hop3.WebLogin{}, err
	}
	shown := l.WebLogin
	shown.Secret = ""
	return shown, nil
}

// DecideWebLogin lets the login that waits under a code in as the actor, or
// refuses it.
func (p *Platform) DecideWebLogin(ctx context.Context, who Actor, code string, allow bool) error {
	if err := p.mayLetIn(who); err != nil {
		return err
	}
	u, err := p.Store.User(ctx, who.Username)
	if err != nil {
		return err
	}
	w := &p.webLogins
	w.mu.Lock()
	defer w.mu.Unlock()
	l, err := w.find(p.now(), code)
	if err != nil {
		return err
	}
	if allow {
		l.username, l.generation = u.Username, u.LoginGeneration
	}
	delete(w.code, l.Code)
	close(l.decided)
	return nil
}

// mayLetIn returns nil when the actor has logged in, and does not try codes.
func (p *Platform) mayLetIn(who Actor) error {
	if err := ownAccount(who, who.Username); err != nil {
		return err
	}
	if who.Login == "" {
		return hop3.Errorf(hop3.CodeForbidden, "This takes a login.")
	}
	if !p.Auth.AllowAccount("web code " + who.Username) {
		return tooManyAttempts()
	}
	return nil
}

// find is called with the lock held.
func (w *webLogins) find(now time.Time, code string) (*webLogin, error) {
	w.forget(now)
	var letters strings.Builder
	for _, r := range strings.ToUpper(code[:min(len(code), 64)]) {
		if strings.ContainsRune(webLoginLetters, r) {
			letters.WriteRune(r)
		}
	}
	typed := letters.String()
	if len(typed) == webLoginLetter {
		if l := w.code[typed[:webLoginLetter/2]+"-"+typed[webLoginLetter/2:]]; l != nil {
			return l, nil
		}
	}
	return nil, hop3.Errorf(hop3.CodeNotFound, "No command line waits under this code.").WithHint("It is good for %d minutes: `hop3 login --web` shows another.", int(webLoginLifetime/time.Minute))
}

// forget is called with the lock held.
func (w *webLogins) forget(now time.Time) {
	for secret, l := range w.all {
		if now.After(l.Expires) {
			delete(w.all, secret)
			delete(w.code, l.Code)
		}
	}
}

func newWebCode() string {
	var letters []byte
	for len(letters) < webLoginLetter {
		var b [1]byte
		rand.Read(b[:])
		if n := len(webLoginLetters); int(b[0]) < 256/n*n { // all as likely
			letters = append(letters, webLoginLetters[int(b[0])%n])
		}
	}
	return string(letters[:webLoginLetter/2]) + "-" + string(letters[webLoginLetter/2:])
}
