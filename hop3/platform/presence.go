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
	token    string // the ID of the token that they came with; "" for none
	cancel   context.CancelCauseFunc
}

var (
	errEvicted   = errors.New("the user's rights have changed")
	errLoggedOut = errors.New("the user has logged out")
)

// visitKey is where a context has the number of its visit.
type visitKey struct{}

// Present returns a context that ends when the actor loses rights: is disabled,
// removed, has a role, a grant or a token taken away, or logs out. What is asked
// for under it does not end it: who logs out is told that they did. Whoever
// serves the actor for longer than a moment serves under it, and calls leave at
// the end. It is a CodeUnauthorized error when the account is disabled, or the
// token was ended, by now.
func (p *Platform) Present(ctx context.Context, who Actor) (present context.Context, leave func(), err error) {
	present, cancel := context.WithCancelCause(ctx)
	p.presence.mu.Lock()
	if p.presence.here == nil {
		p.presence.here = map[int]visit{}
	}
	p.presence.next++
	id := p.presence.next
	v := visit{username: who.Username, cancel: cancel}
	if who.Token != nil {
		v.token = who.Token.ID
	}
	p.presence.here[id] = v
	present = context.WithValue(present, visitKey{}, id)
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
	if err == nil && who.Token != nil {
		err = p.stillGood(ctx, u, *who.Token)
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

// stillGood returns a CodeUnauthorized error when a token was ended, by itself
// or with the others of its user.
func (p *Platform) stillGood(ctx context.Context, u hop3.User, t Token) error {
	ended, err := p.Store.TokenRevoked(ctx, t.ID)
	if err == nil && t.Named {
		_, err = p.Store.APIToken(ctx, t.ID)
		ended = ended || hop3.CodeOf(err) == hop3.CodeNotFound
	}
	switch {
	case ended || err == nil && (!issuedTo(t, u) || !u.Holds(t)):
		return noMoreValid()
	default:
		return err
	}
}

// evict ends all that is open for a user, for everybody when username is "",
// but for what is done under ctx. They may come again, and get what they may
// have then.
func (p *Platform) evict(ctx context.Context, username string) {
	p.endVisits(ctx, errEvicted, func(v visit) bool { return username == "" || v.username == username })
}

// evictToken is evict of who came with a token of this ID.
func (p *Platform) evictToken(ctx context.Context, id string) {
	p.endVisits(ctx, errLoggedOut, func(v visit) bool { return v.token == id })
}

func (p *Platform) endVisits(ctx context.Context, why error, these func(visit) bool) {
	p.presence.mu.Lock()
	defer p.presence.mu.Unlock()
	for id, v := range p.presence.here {
		if these(v) && ctx.Value(visitKey{}) != id {
			v.cancel(why)
		}
	}
}
