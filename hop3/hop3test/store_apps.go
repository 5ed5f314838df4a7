package hop3test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

func (s *storeStory) roundTrip() {
	var app hop3.App
	s.fill(reflect.ValueOf(&app).Elem())
	app.Name, app.Team = "blog", "writers"
	s.ok(s.db.CreateTeam(s.ctx, "writers"))
	s.ok(s.db.CreateApp(s.ctx, app))
	gotApp, err := s.db.App(s.ctx, "blog")
	s.ok(err)
	app.UpdatedAt = gotApp.UpdatedAt // the store's own
	s.same(gotApp, app)

	var r hop3.Release
	s.fill(reflect.ValueOf(&r).Elem())
	r.App, r.Status = "blog", hop3.ReleaseBuilding
	created, err := s.db.NewRelease(s.ctx, r)
	s.ok(err)
	if created.Number != 1 || time.Since(created.CreatedAt).Abs() > time.Minute {
		s.Errorf("NewRelease gave number %d and time %v", created.Number, created.CreatedAt)
	}
	r.Number, r.CreatedAt = created.Number, created.CreatedAt
	s.same(created, r)
	got, err := s.connect().Release(s.ctx, "blog", 1)
	s.ok(err)
	s.same(got, r)

	r.Ref, r.Subject, r.Env = nil, "another", hop3.Env{"A": "b"}
	got, err = s.db.UpdateRelease(s.ctx, "blog", 1, func(x *hop3.Release) error { *x = r; return nil })
	s.ok(err)
	s.same(got, r)
	got, err = s.db.Release(s.ctx, "blog", 1)
	s.ok(err)
	s.same(got, r)
}

func (s *storeStory) order() {
	for _, name := range []string{"blog", "Zoo", "a_b", "aXb"} {
		s.app(name)
	}
	apps, err := s.db.Apps(s.ctx)
	s.ok(err)
	var names []string
	for _, a := range apps {
		names = append(names, a.Name)
	}
	s.same(names, []string{"Zoo", "aXb", "a_b", "blog"})

	for range 3 {
		s.release("blog")
	}
	releases, err := s.db.Releases(s.ctx, "blog")
	s.ok(err)
	var numbers []int
	for _, r := range releases {
		numbers = append(numbers, r.Number)
	}
	s.same(numbers, []int{3, 2, 1})
}

// Another connection has read the list before each change.
func (s *storeStory) freshApps() {
	other := s.connect()
	check := func(what string) {
		s.Helper()
		got, err := other.Apps(s.ctx)
		s.ok(err)
		want := []hop3.App{}
		for _, a := range got {
			app, err := s.db.App(s.ctx, a.Name)
			s.ok(err)
			want = append(want, app)
		}
		fresh, err := s.connect().Apps(s.ctx)
		s.ok(err)
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(got, fresh) {
			s.Errorf("after %s the apps are\n%+v, want\n%+v or\n%+v", what, got, want, fresh)
		}
	}
	check("nothing")
	s.app("blog")
	s.app("shop")
	check("two were made")
	_, err := s.db.UpdateApp(s.ctx, "blog", func(a *hop3.App) error { a.Env = hop3.Env{"A": "b"}; return nil })
	s.ok(err)
	check("a change")
	s.ok(s.db.Commit(s.ctx, "blog", s.release("blog")))
	check("a commit")
	s.ok(s.db.CreateTeam(s.ctx, "writers"))
	s.ok(s.db.TransferApp(s.ctx, "blog", "writers"))
	check("a transfer")
	s.ok(s.db.DeleteApp(s.ctx, "shop"))
	check("one went away")
	s.ok(s.db.DeleteApp(s.ctx, "blog"))
	s.app("blog")
	check("one came again")
	for i := range 30 {
		s.app(fmt.Sprintf("many-%d", i))
	}
	check("many came")

	// Who gets a list may do with it what they like.
	apps, err := other.Apps(s.ctx)
	s.ok(err)
	for i := range apps {
		apps[i].Env["THEIRS"] = "x"
	}
	check("somebody wrote into their list")
}

func (s *storeStory) notFound() {
	const message = "App 'gone' not found."
	_, err := s.db.App(s.ctx, "gone")
	s.fails(err, hop3.CodeNotFound, message)
	_, err = s.db.UpdateApp(s.ctx, "gone", func(*hop3.App) error { s.Error("changed nothing"); return nil })
	s.fails(err, hop3.CodeNotFound, message)
	s.fails(s.db.DeleteApp(s.ctx, "gone"), hop3.CodeNotFound, message)
	_, err = s.db.NewRelease(s.ctx, hop3.Release{App: "gone"})
	s.fails(err, hop3.CodeNotFound, message)
	_, err = s.db.Release(s.ctx, "gone", 1)
	s.fails(err, hop3.CodeNotFound, message)
	_, err = s.db.Releases(s.ctx, "gone")
	s.fails(err, hop3.CodeNotFound, message)
	s.fails(s.db.Commit(s.ctx, "gone", 1), hop3.CodeNotFound, message)

	s.app("there")
	const release = "Release 1 of app 'there' not found."
	_, err = s.db.Release(s.ctx, "there", 1)
	s.fails(err, hop3.CodeNotFound, release)
	s.fails(s.db.Commit(s.ctx, "there", 1), hop3.CodeNotFound, release)
	s.fails(s.db.DeleteRelease(s.ctx, "there", 1), hop3.CodeNotFound, release)
	_, err = s.db.UpdateRelease(s.ctx, "there", 1, func(*hop3.Release) error { s.Error("changed nothing"); return nil })
	s.fails(err, hop3.CodeNotFound, release)

	_, err = s.db.User(s.ctx, "gone")
	s.fails(err, hop3.CodeNotFound, "User 'gone' not found.")
	s.fails(s.db.DeleteUser(s.ctx, "gone"), hop3.CodeNotFound, "User 'gone' not found.")
	_, err = s.db.Key(s.ctx, "SHA256:gone")
	s.fails(err, hop3.CodeNotFound, "Key SHA256:gone not found.")
	s.fails(s.db.RemoveKey(s.ctx, "SHA256:gone"), hop3.CodeNotFound, "Key SHA256:gone not found.")
}

func (s *storeStory) appConflicts() {
	s.app("my_app")
	s.fails(s.db.CreateApp(s.ctx, hop3.App{Name: "my_app"}), hop3.CodeConflict, "App 'my_app' already exists.")
	for _, name := range []string{"my-app", "My_App"} {
		err := s.db.CreateApp(s.ctx, hop3.App{Name: name})
		s.fails(err, hop3.CodeConflict, fmt.Sprintf(
			"App 'my_app' already exists.\nThe names %s and my_app would have the same address.", name))
	}
}

func (s *storeStory) failedChange() {
	s.app("blog")
	number := s.release("blog")
	before, err := s.db.App(s.ctx, "blog")
	s.ok(err)
	no := errors.New("no")
	_, err = s.db.UpdateApp(s.ctx, "blog", func(a *hop3.App) error { a.Error = "written"; return no })
	if err != no { //nolint:errorlint // the very error must come back
		s.Errorf("got %v, want the error of the change", err)
	}
	_, err = s.db.UpdateRelease(s.ctx, "blog", number, func(r *hop3.Release) error { r.Error = "written"; return no })
	if err != no { //nolint:errorlint // the very error must come back
		s.Errorf("got %v, want the error of the change", err)
	}
	after, err := s.db.App(s.ctx, "blog")
	s.ok(err)
	s.same(after, before)
	r, err := s.db.Release(s.ctx, "blog", number)
	s.ok(err)
	s.same(r.Error, "")

	app, err := s.db.UpdateApp(s.ctx, "blog", func(a *hop3.App) error { a.Name = "other"; return nil })
	s.ok(err)
	s.same(app.Name, "blog")
}

func (s *storeStory) concurrentChanges() {
	s.app("blog")
	dbs := []Database{s.db, s.connect()}
	const workers, rounds = 8, 10
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range rounds {
				_, err := dbs[w%len(dbs)].UpdateApp(s.ctx, "blog", func(a *hop3.App) error {
					if a.Scale == nil {
						a.Scale = map[string]int{}
					}
					a.Scale["web"]++
					return nil
				})
				if err != nil {
					s.Errorf("UpdateApp: %v", err)
				}
				if _, err := dbs[w%len(dbs)].App(s.ctx, "blog"); err != nil {
					s.Errorf("App: %v", err)
				}
			}
		})
	}
	wg.Wait()
	app, err := s.db.App(s.ctx, "blog")
	s.ok(err)
	s.same(app.Scale, map[string]int{"web": workers * rounds})
}

func (s *storeStory) numbers() {
	s.app("blog")
	s.same([]int{s.release("blog"), s.release("blog")}, []int{1, 2})
	s.ok(s.db.DeleteRelease(s.ctx, "blog", 2))
	s.same(s.release("blog"), 3)
	s.ok(s.db.Commit(s.ctx, "blog", 3))
	s.fails(s.db.DeleteRelease(s.ctx, "blog", 3), hop3.CodeConflict, "Release 3 of app 'blog' is live.")

	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int]bool{}
	for range 8 {
		wg.Go(func() {
			r, err := s.db.NewRelease(s.ctx, hop3.Release{App: "blog", Status: hop3.ReleaseBuilding})
			if err != nil {
				s.Errorf("NewRelease: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[r.Number] = true
		})
	}
	wg.Wait()
	s.same(len(seen), 8)
}

func (s *storeStory) commit() {
	s.app("blog")
	first, second := s.release("blog", "a.test", "b.test"), s.release("blog", "b.test", "c.test", "c.test")
	s.ok(s.db.Commit(s.ctx, "blog", first))
	s.checkHosts(map[string]string{"a.test": "blog", "b.test": "blog"})
	_, err := s.db.UpdateApp(s.ctx, "blog", func(a *hop3.App) error {
		a.State, a.Error = hop3.StateFailed, "it broke"
		return nil
	})
	s.ok(err)

	s.ok(s.db.Commit(s.ctx, "blog", second))
	app, err := s.db.App(s.ctx, "blog")
	s.ok(err)
	if app.Live != second || app.State != hop3.StateRunning || app.Error != "" {
		s.Errorf("after the commit the app is %+v", app)
	}
	s.checkHosts(map[string]string{"b.test": "blog", "c.test": "blog"})
	releases, err := s.db.Releases(s.ctx, "blog")
	s.ok(err)
	live, retired := releases[0], releases[1]
	if live.Status != hop3.ReleaseLive || time.Since(live.LiveAt).Abs() > time.Minute {
		s.Errorf("the new release is %s since %v", live.Status, live.LiveAt)
	}
	if retired.Status != hop3.ReleaseRetired || retired.LiveAt.IsZero() {
		s.Errorf("the old release is %s since %v", retired.Status, retired.LiveAt)
	}

	s.ok(s.db.Commit(s.ctx, "blog", second))
	again, err := s.db.Release(s.ctx, "blog", second)
	s.ok(err)
	s.same(again, live)
}

func (s *storeStory) hostConflict() {
	s.app("blog")
	s.app("shop")
	s.ok(s.db.Commit(s.ctx, "blog", s.release("blog", "www.test")))
	old := s.release("shop", "shop.test")
	s.ok(s.db.Commit(s.ctx, "shop", old))

	err := s.db.Commit(s.ctx, "shop", s.release("shop", "new.test", "www.test"))
	s.fails(err, hop3.CodeConflict, "Hostname 'www.test' is already used by app 'blog'.")
	s.checkHosts(map[string]string{"www.test": "blog", "shop.test": "shop"})
	app, err := s.db.App(s.ctx, "shop")
	s.ok(err)
	s.same(app.Live, old)
	r, err := s.db.Release(s.ctx, "shop", old)
	s.ok(err)
	s.same(r.Status, hop3.ReleaseLive)
}

func (s *storeStory) hostRace() {
	const rivals = 4
	numbers := map[string]int{}
	for i := range rivals {
		name := fmt.Sprintf("app%d", i)
		s.app(name)
		// In opposite orders, which must not deadlock.
		hosts := []string{"x.test", "y.test"}
		if i%2 == 1 {
			hosts = []string{"y.test", "x.test"}
		}
		numbers[name] = s.release(name, hosts...)
	}
	var wg sync.WaitGroup
	errs := make(chan error, rivals)
	for name, number := range numbers {
		db := s.connect()
		wg.Go(func() { errs <- db.Commit(s.ctx, name, number) })
	}
	wg.Wait()
	close(errs)
	won := 0
	for err := range errs {
		if err == nil {
			won++
		} else if hop3.CodeOf(err) != hop3.CodeConflict {
			s.Errorf("a rival got %v", err)
		}
	}
	s.same(won, 1)
}

func (s *storeStory) deleteApp() {
	s.app("blog")
	s.ok(s.db.Commit(s.ctx, "blog", s.release("blog", "blog.test")))
	s.ok(s.db.DeleteApp(s.ctx, "blog"))
	s.checkHosts(map[string]string{})
	s.app("blog")
	releases, err := s.db.Releases(s.ctx, "blog")
	s.ok(err)
	s.same(len(releases), 0)
}

func (s *storeStory) canceled() {
	s.app("blog")
	ctx, cancel := context.WithCancel(s.ctx)
	_, err := s.db.UpdateApp(ctx, "blog", func(a *hop3.App) error {
		a.Error = "written"
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		s.Errorf("got %v, want the end of the context", err)
	}
	app, err := s.db.App(s.ctx, "blog")
	s.ok(err)
	s.same(app.Error, "")
}

func (s *storeStory) hostileText() {
	s.app("blog")
	tricky := "'; DROP TABLE apps; -- $1 ? \" \\ \n \u2028 \U0001F4A5"
	app, err := s.db.UpdateApp(s.ctx, "blog", func(a *hop3.App) error {
		a.Env = hop3.Env{"K": tricky}
		a.Error = "a byte \xff and a \x00"
		return nil
	})
	s.ok(err)
	got, err := s.db.App(s.ctx, "blog")
	s.ok(err)
	s.same(got.Env, app.Env)
	s.same(got.Error, "a byte \uFFFD and a \uFFFD")

	// The bytes of a commit's author and subject are anybody's.
	_, err = s.db.NewRelease(s.ctx, hop3.Release{App: "blog", Author: "Jos\xe9", Subject: tricky + "\xff\x00"})
	s.ok(err)
	_, err = s.db.UpdateApp(s.ctx, "blog", func(a *hop3.App) error { a.Env = hop3.Env{"K": "\xff"}; return nil })
	s.fails(err, hop3.CodeInvalid, `the value of "K" is not valid UTF-8`)
}
