package platform

import (
	"context"
	"errors"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// presence knows who is here: whose streams, consoles and sessions are open. The
// zero value is ready.
type presence struct {
	mu   sync.Mutex
	next int
	here map[int]visit
}

type visit struct {
	username string
	cancel   context.CancelCauseFunc
}

var errEvicted = errors.New("the user's rights have changed")

// Present returns a context that ends when the actor loses rights: is disabled,
// removed, or has a role, a grant or a token taken away. Whoever serves the
// actor for longer than a moment serves under it, and calls leave at the end.
// It is a CodeUnauthorized error when the account is disabled by now.
func (p *Platform) Present(ctx context.Context, who Actor) (present context.Context, leave func(), err error) {
	present, cancel := context.WithCancelCause(ctx)
	p.presence.mu.Lock()
	if p.presence.here == nil {
		p.presence.here = map[int]visit{}
	}
	p.presence.next++
	id := p.presence.next
	p.presence.here[id] = visit{who.Username, cancel}
	p.presence.mu.Unlock()
	leave = func() {
		p.presence.mu.Lock()
		delete(p.presence.here, id)
		p.presence.mu.Unlock()
		cancel(nil)
	}
	// Only now, so that nobody is disabled unseen in between.
	u, err := p.Store.User(ctx, who.Username)
	if hop3.CodeOf(err) == hop3.CodeNotFound && who.Admin {
		return present, leave, nil // the host's administrator has no account
	}
	if err == nil && !u.Active || hop3.CodeOf(err) == hop3.CodeNotFound {
		err = hop3.Errorf(hop3.CodeUnauthorized, "The account is not active any more.")
	}
	if err != nil {
		leave()
		return nil, nil, err
	}
	return present, leave, nil
}

// evict ends all that is open for a user, for everybody when username is "".
// They may come again, and get what they may have then.
func (p *Platform) evict(username string) {
	p.presence.mu.Lock()
	defer p.presence.mu.Unlock()
	for _, v := range p.presence.here {
		if username == "" || v.username == username {
			v.cancel(errEvicted)
		}
	}
}
