package sshd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git"
)

// settleTimeout bounds what is done after a push, when nobody may be there to
// wait for it.
const settleTimeout = time.Minute

// Pushes deploys what is pushed.
type Pushes interface {
	// BeginPush is called before git receives anything. It makes the app and
	// its repository when this is the first push to it, or returns why the
	// user may not push there. What is logged to out, until Settle returns,
	// reaches the pusher.
	BeginPush(ctx context.Context, username string, admin bool, app string, out hop3.Output) (Push, error)
}

// Fetches says who may read a repository.
type Fetches interface {
	// MayFetch returns nil when the user may clone the app. To who may not see
	// it, it does not exist: a CodeNotFound error.
	MayFetch(ctx context.Context, username string, admin bool, app string) error
}

// Push is one push.
type Push interface {
	// PreReceive decides, with the pushed objects in quarantine, whether the
	// references may move: it deploys. Its error refuses the push, and its
	// message is shown to the pusher. Its ctx ends when the pusher goes away.
	// It is not called when git refuses the push, or there is nothing in it.
	PreReceive(ctx context.Context, p hop3.Push) error
	// Settle is always called, last, when git has ended and the references
	// are where they stay; exitErr says why the push failed, if it did. Some
	// references of an accepted push may not have moved nevertheless.
	Settle(ctx context.Context, exitErr error)
}

// push serves a git push.
func (s *session) push(ctx context.Context, app string) int {
	direct := git.NewRelay(func(line string) error {
		_, err := fmt.Fprintln(s.Stderr(), line)
		return err
	})
	defer direct.Close()
	out := &progress{to: direct}
	push, err := s.server.Pushes.BeginPush(ctx, s.user.Username, s.user.Admin, app, out)
	if err != nil {
		direct.Close()
		if hop3.CodeOf(err) == hop3.CodeInternal {
			s.server.Logger.Error("beginning a push to "+app, zap.Error(err))
		}
		return s.fail(err)
	}
	err = s.receive(ctx, app, push, out)
	return s.outcome("push", app, err)
}

// receive runs git and has the push settled, whatever happens.
func (s *session) receive(ctx context.Context, app string, push Push, out *progress) (err error) {
	err = errors.New("panic while receiving a push")
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
		defer cancel()
		push.Settle(ctx, err)
	}()
	refused := false
	err = s.server.Repos.Receive(ctx, app, git.ReceiveOptions{
		Streams: s.streams(),
		PreReceive: func(ctx context.Context, p hop3.Push, remote hop3.Output) error {
			defer out.redirect(remote)()
			err := push.PreReceive(ctx, p)
			refused = err != nil
			return err
		},
	})
	if refused {
		// The pusher has seen why.
		return fmt.Errorf("refused: %s", err)
	}
	return err
}

// progress is the output of a push: it goes to the session itself, and through
// git's hook while that runs, so that git shows it as the remote's words.
type progress struct {
	mu sync.Mutex
	to hop3.Output
}

// Log passes a line on.
func (p *progress) Log(line hop3.LogLine) {
	p.mu.Lock()
	to := p.to
	p.mu.Unlock()
	to.Log(line)
}

// redirect sends the lines elsewhere until the returned function is called.
func (p *progress) redirect(to hop3.Output) (restore func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.to
	p.to = to
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.to = before
	}
}
