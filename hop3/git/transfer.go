package git

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git/hook"
)

// settleGrace is how long git may take to move the references of an accepted
// push whose pusher has left.
const settleGrace = 15 * time.Second

// Streams connect git to a client.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Protocol is the client's GIT_PROTOCOL; anything but "version=N" is
	// ignored.
	Protocol string
}

// ReceiveOptions are the client of a push and what decides about it.
type ReceiveOptions struct {
	Streams
	// PreReceive is called once git has the pushed objects and found them
	// sound, before any reference moves; an error refuses the whole push and
	// its message is shown to the pusher, as is what is logged to out. It is
	// not called for a push that asks for nothing. Its context ends when the
	// pusher goes away.
	PreReceive func(ctx context.Context, push hop3.Push, out hop3.Output) error
}

var protocolVersion = regexp.MustCompile(`^version=[0-2]$`)

// Receive serves one git push to the app's repository. It returns PreReceive's
// error when that refused the push. When ctx ends, git is stopped, except that
// a push PreReceive accepts, though its pusher has left, is still recorded.
func (r *Repositories) Receive(ctx context.Context, app string, opts ReceiveOptions) error {
	dir, err := r.existing(app)
	if err != nil {
		return err
	}
	if err := r.checkHook(); err != nil {
		return err
	}
	done, err := r.beginTransfer()
	if err != nil {
		return err
	}
	defer done()
	r.receiving.begin(dir)
	defer r.receiving.end(dir)
	expected := r.hooks.expect(ctx, app, dir, opts.PreReceive)
	defer expected.release()

	cmd := r.git("", configArgs(r.receiveSettings()...)...)
	cmd.args = append(cmd.args, "receive-pack", dir)
	cmd.env = append(cmd.env, hook.EnvSocket+"="+r.hooks.path, hook.EnvToken+"="+expected.token)
	client := &listener{w: opts.Stdout, word: diskFull}
	opts.Stdout = client
	cmd.connect(opts.Streams)

	killable, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	stop := context.AfterFunc(ctx, func() {
		if expected.settled() {
			select {
			case <-time.After(settleGrace):
			case <-killable.Done():
			}
		}
		kill(context.Cause(ctx))
	})
	defer stop()
	err = cmd.run(killable)
	if called, refused := expected.release(); refused != nil {
		return refused
	} else if !called && client.heard {
		// The client was only told that git could not unpack.
		return hop3.Errorf(hop3.CodeUnavailable, "the server's disk is full: there is no room for what was pushed").
			WithHint("Nothing has changed. Push again when the server's admin has made room.")
	} else if err == nil && !called {
		// A push of nothing. Or git found no hook to run: that must not pass.
		return r.checkHook()
	}
	if err != nil {
		return fmt.Errorf("receiving a push to %s: %w", app, err)
	}
	return nil
}

// Upload serves one git fetch or clone of the app's repository.
func (r *Repositories) Upload(ctx context.Context, app string, streams Streams) error {
	dir, err := r.existing(app)
	if err != nil {
		return err
	}
	done, err := r.beginTransfer()
	if err != nil {
		return err
	}
	defer done()
	cmd := r.git("", configArgs("transfer.hideRefs=refs/hop3")...)
	cmd.args = append(cmd.args, "upload-pack", "--strict", dir)
	cmd.connect(streams)
	if err := cmd.run(ctx); err != nil {
		return fmt.Errorf("serving a fetch of %s: %w", app, err)
	}
	return nil
}

// beginTransfer takes one of the places for a push or a fetch, or says that
// there is none.
func (r *Repositories) beginTransfer() (done func(), err error) {
	select {
	case r.transfers <- struct{}{}:
		return func() { <-r.transfers }, nil
	default:
		return nil, hop3.Errorf(hop3.CodeUnavailable, "the server is busy with other pushes and fetches").
			WithHint("Try again in a moment.")
	}
}

// connect gives git the client's streams.
func (c *child) connect(s Streams) {
	c.stdin, c.stdout, c.stderr = s.Stdin, s.Stdout, s.Stderr
	if protocolVersion.MatchString(s.Protocol) {
		c.env = append(c.env, "GIT_PROTOCOL="+s.Protocol)
	}
}

// receiveSettings are the rules for what is pushed. The three fsck messages
// that are let through are about harmless slips of old tools, found in the
// history of well-known projects.
func (r *Repositories) receiveSettings() []string {
	return []string{
		"core.hooksPath=" + r.hooksDir(),
		fmt.Sprintf("receive.maxInputSize=%d", r.cfg.MaxPackBytes),
		"receive.fsckObjects=true",
		"transfer.fsckObjects=true",
		"receive.fsck.badTimezone=ignore",
		"receive.fsck.missingSpaceBeforeDate=ignore",
		"receive.fsck.zeroPaddedFilemode=ignore",
		"receive.advertisePushOptions=true",
		"receive.advertiseAtomic=true",
		"receive.autogc=false",
		"receive.denyDeletes=false",
		"receive.denyDeleteCurrent=refuse",
		"receive.denyNonFastForwards=false",
		"receive.denyCurrentBranch=ignore",
		"receive.updateServerInfo=false",
		"receive.shallowUpdate=false",
		"transfer.hideRefs=refs/hop3",
	}
}

// recovered, deferred at the root of a goroutine, logs a panic.
func (r *Repositories) recovered(doing string) {
	if p := recover(); p != nil {
		logPanic(r.cfg.Logger, doing, p)
	}
}

// listener passes on what git tells a client, and hears whether a word is in it.
type listener struct {
	w     io.Writer
	word  string
	tail  []byte // what may be the beginning of the word
	heard bool
}

func (l *listener) Write(p []byte) (int, error) {
	if !l.heard && len(p) < 4096 { // messages are short, and nothing else is
		text := append(l.tail, p...)
		l.heard = bytes.Contains(text, []byte(l.word))
		l.tail = text[max(0, len(text)-len(l.word)):]
	}
	return l.w.Write(p)
}
