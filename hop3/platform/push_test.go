package platform

import (
	"context"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// push begins a push of main to blog.
func (w *world) push(from, to string) *Push {
	w.t.Helper()
	if strings.Trim(from, "0") != "" {
		w.repos.refs["refs/heads/main"] = from
	}
	push, err := w.BeginPush(w.t.Context(), alice, "blog", w.out)
	if err != nil {
		w.t.Fatal(err)
	}
	return push
}

func (w *world) received(from, to string) hop3.Push {
	return hop3.Push{
		Updates: []hop3.RefMove{{Name: "refs/heads/main", Old: from, New: to}},
		Commit:  func(_ context.Context, hash string) (hop3.Source, error) { return fakeSource{hash}, nil },
	}
}

func TestPushIsTheDeploy(t *testing.T) {
	w := newWorld(t)
	push := w.push(noHash, hash1)
	if err := push.PreReceive(t.Context(), w.received(noHash, hash1)); err != nil {
		t.Fatal(err)
	}
	w.repos.refs["refs/heads/main"] = hash1
	push.Settle(t.Context(), nil)
	w.serves(1)
	if r, err := w.Store.Release(t.Context(), "blog", 1); err != nil || r.Ref != nil || r.Branch != "main" {
		t.Errorf("%+v, %v", r, err)
	}
}

// git may refuse to move the branch after all: another push was faster.
func TestPushThatGitRefusesIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	push := w.push(hash1, hash2)
	if err := push.PreReceive(t.Context(), w.received(hash1, hash2)); err != nil {
		t.Fatal(err)
	}
	push.Settle(t.Context(), nil)
	w.serves(1)
	if got := w.status(2); got != hop3.ReleaseFailed {
		t.Errorf("release 2 is %s", got)
	}
}

func TestPushOfAMovedBranchIsRefused(t *testing.T) {
	w := newWorld(t)
	push := w.push(hash1, hash2)
	w.repos.refs["refs/heads/main"] = strings.Repeat("3", 40)
	if err := push.PreReceive(t.Context(), w.received(hash1, hash2)); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Fatalf("got %v", err)
	}
	push.Settle(t.Context(), nil)
}

// A push that brought nothing leaves no app behind.
func TestEmptyPushLeavesNoApp(t *testing.T) {
	w := newWorld(t)
	push := w.push(noHash, hash1)
	push.Settle(t.Context(), nil)
	if _, err := w.Store.App(t.Context(), "blog"); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("got %v", err)
	}
}

func TestNewerDeploySupersedesTheWaitingOne(t *testing.T) {
	w := newWorld(t)
	unlock, err := w.lock(t.Context(), "blog")
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error)
	waiting := make(chan struct{})
	wait := func() {
		_, err := w.lockForDeploy(t.Context(), "blog", hop3.OutputFunc(func(hop3.LogLine) { waiting <- struct{}{} }))
		results <- err
	}
	go wait()
	<-waiting
	go wait()
	<-waiting
	if err := <-results; hop3.CodeOf(err) != hop3.CodeCanceled {
		t.Fatalf("the older one got %v", err)
	}
	unlock()
	if err := <-results; err != nil {
		t.Fatalf("the newer one got %v", err)
	}
}
