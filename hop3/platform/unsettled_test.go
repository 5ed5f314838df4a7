package platform

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// fullStore is a store that, while full is set, can write no release and commit
// none. The stories of tests/disk_test.go have a disk that is really full; but
// not at the very moments that matter here.
type fullStore struct {
	Store
	full bool
}

var errFull = fmt.Errorf("writing: %w", syscall.ENOSPC)

func (s *fullStore) UpdateRelease(ctx context.Context, app string, number int, change func(*hop3.Release) error, events ...hop3.Event) (hop3.Release, error) {
	if s.full {
		return hop3.Release{}, errFull
	}
	return s.Store.UpdateRelease(ctx, app, number, change, events...)
}

func (s *fullStore) Commit(ctx context.Context, app string, number int, events ...hop3.Event) error {
	if s.full {
		return errFull
	}
	return s.Store.Commit(ctx, app, number, events...)
}

func (w *world) withFullStore() *fullStore {
	s := &fullStore{Store: w.Store}
	w.Store = s
	return s
}

// pushing begins a push of a version that deploys, as far as the switch.
func (w *world) pushing(t *testing.T, version string) (*Push, hop3.RefMove, error) {
	t.Helper()
	push, err := w.BeginPush(t.Context(), alice, "blog", w.out)
	if err != nil {
		t.Fatal(err)
	}
	move := hop3.RefMove{Name: "refs/heads/main", Old: w.repos.refs["refs/heads/main"], New: version}
	return push, move, push.PreReceive(t.Context(), hop3.Push{
		Updates: []hop3.RefMove{move},
		Commit:  func(context.Context, string) (hop3.Source, error) { return fakeSource{version}, nil },
	})
}

// TestFullDatabaseAtTheEndOfAFailedBuild: the release is said to be building
// until the database can be told, and that is when the next deploy begins.
func TestFullDatabaseAtTheEndOfAFailedBuild(t *testing.T) {
	w := newWorld(t)
	db := w.withFullStore()
	w.deployed("1")
	w.prober.fail = errors.New("not ready")
	w.builder.before = func() { db.full = true }
	if _, err := w.Deploy(t.Context(), alice, w.request("2")); !hop3.IsDiskFull(err) {
		t.Errorf("the deploy: %v", err)
	}
	w.serves(1)
	if w.status(2) != hop3.ReleaseBuilding {
		t.Fatalf("release 2 is %s", w.status(2))
	}
	w.builder.before, w.prober.fail = nil, nil
	if _, err := w.Deploy(t.Context(), alice, w.request("3")); !hop3.IsDiskFull(err) {
		t.Errorf("a deploy while it is full: %v", err)
	}
	db.full = false
	w.deployed("4")
	w.serves(4)
	for _, number := range []int{2, 3} {
		if w.status(number) != hop3.ReleaseFailed {
			t.Errorf("release %d is %s", number, w.status(number))
		}
	}
}

// TestFullDatabaseWhenGitDidNotMove: the release that git did not accept does
// not serve, although the database cannot be told that it is not the live one.
func TestFullDatabaseWhenGitDidNotMove(t *testing.T) {
	for _, how := range []string{"repair", "the next change", "a new start"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			db := w.withFullStore()
			first, move, err := w.pushing(t, "1")
			if err != nil {
				t.Fatal(err)
			}
			w.repos.refs[move.Name] = move.New
			first.Settle(t.Context(), nil)
			second, _, err := w.pushing(t, "2")
			if err != nil {
				t.Fatal(err)
			}
			db.full = true
			second.Settle(t.Context(), errors.New("no space left"))
			w.settled()
			if route := w.proxy.route("blog"); route.Release != 1 {
				t.Errorf("release %d serves", route.Release)
			}
			if err := w.repair(t.Context()); !hop3.IsDiskFull(err) {
				t.Errorf("repair while it is full: %v", err)
			}
			if route := w.proxy.route("blog"); route.Release != 1 {
				t.Errorf("release %d serves after a repair", route.Release)
			}
			if err := w.StopApp(t.Context(), alice, "blog", w.out); !hop3.IsDiskFull(err) {
				t.Errorf("stopping it while it is full: %v", err)
			}
			db.full = false
			switch how {
			case "repair":
				err = w.repair(t.Context())
			case "the next change":
				_, err = w.Deploy(t.Context(), alice, w.request("3"))
			default:
				w.reboot()
				err = w.Reconcile(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
			if how == "the next change" {
				w.serves(3)
			} else {
				w.serves(1)
			}
			if w.status(2) != hop3.ReleaseFailed {
				t.Errorf("release 2 is %s", w.status(2))
			}
		})
	}
}

// TestFullDatabaseAtTheStart: what should run does, also when nothing can be
// written down.
func TestFullDatabaseAtTheStart(t *testing.T) {
	w := newWorld(t)
	first, move, err := w.pushing(t, "1")
	if err != nil {
		t.Fatal(err)
	}
	w.repos.refs[move.Name] = move.New
	first.Settle(t.Context(), nil)
	if _, _, err := w.pushing(t, "2"); err != nil { // and the server ends
		t.Fatal(err)
	}
	w.reboot()
	db := w.withFullStore()
	db.full = true
	if err := w.Reconcile(t.Context()); err != nil {
		t.Error(err)
	}
	if route := w.proxy.route("blog"); route.Release != 1 {
		t.Errorf("release %d serves", route.Release)
	}
	db.full = false
	if err := w.repair(t.Context()); err != nil {
		t.Error(err)
	}
	w.serves(1)
	if w.status(2) != hop3.ReleaseFailed {
		t.Errorf("release 2 is %s", w.status(2))
	}
}
