package hop3test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// CronDatabase is what a store does for cron runs.
type CronDatabase interface {
	NewCronRun(ctx context.Context, r hop3.CronRun) (hop3.CronRun, error)
	UpdateCronRun(ctx context.Context, id int64, change func(*hop3.CronRun) error) (hop3.CronRun, error)
	CronRun(ctx context.Context, app string, id int64) (hop3.CronRun, error)
	CronRuns(ctx context.Context, app, entry string, n int) ([]hop3.CronRun, error)
	EndCronRuns(ctx context.Context, why string) error
	PruneCronRuns(ctx context.Context, app string, each, total int) ([]hop3.CronRun, error)
}

// run stores a run of an entry, ended or not, and returns its number.
func (s *storeStory) run(app, entry string, ended bool) int64 {
	s.Helper()
	r := hop3.CronRun{App: app, Entry: entry, StartedAt: time.Unix(1, 0)}
	if ended {
		r.EndedAt = time.Unix(2, 0)
	}
	r, err := s.db.NewCronRun(s.ctx, r)
	s.ok(err)
	return r.ID
}

func (s *storeStory) cronRoundTrip() {
	s.app("blog")
	var r hop3.CronRun
	s.fill(reflect.ValueOf(&r).Elem())
	r.App, r.Entry = "blog", "backup"
	created, err := s.db.NewCronRun(s.ctx, r)
	s.ok(err)
	r.ID = created.ID
	s.same(created, r)
	got, err := s.connect().CronRun(s.ctx, "blog", r.ID)
	s.ok(err)
	s.same(got, r)

	got, err = s.db.UpdateCronRun(s.ctx, r.ID, func(x *hop3.CronRun) error {
		*x = hop3.CronRun{ID: 77, App: "other", Entry: "other", Release: 9, Error: "a \x00 in it", Exit: 200}
		return nil
	})
	s.ok(err)
	s.same(got.App+got.Entry, "blogbackup")
	want := hop3.CronRun{ID: r.ID, App: "blog", Entry: "backup", Due: r.Due, Release: 9, Error: "a \uFFFD in it", Exit: 200}
	got, err = s.db.CronRun(s.ctx, "blog", r.ID)
	s.ok(err)
	s.same(got, want)

	no := errors.New("no")
	_, err = s.db.UpdateCronRun(s.ctx, r.ID, func(x *hop3.CronRun) error { x.Exit = 1; return no })
	s.same(err, no)
	got, err = s.db.CronRun(s.ctx, "blog", r.ID)
	s.ok(err)
	s.same(got, want)
}

func (s *storeStory) cronNotFound() {
	_, err := s.db.NewCronRun(s.ctx, hop3.CronRun{App: "gone", Entry: "x"})
	s.fails(err, hop3.CodeNotFound, "App 'gone' not found.")
	_, err = s.db.CronRuns(s.ctx, "gone", "", 1)
	s.fails(err, hop3.CodeNotFound, "App 'gone' not found.")
	_, err = s.db.CronRun(s.ctx, "gone", 1)
	s.fails(err, hop3.CodeNotFound, "App 'gone' not found.")
	_, err = s.db.UpdateCronRun(s.ctx, 1, func(*hop3.CronRun) error { return nil })
	s.fails(err, hop3.CodeNotFound, "Cron run 1 not found.")

	s.app("blog")
	s.app("shop")
	id := s.run("blog", "x", true)
	_, err = s.db.CronRun(s.ctx, "shop", id)
	s.fails(err, hop3.CodeNotFound, "Cron run 1 not found.")
	s.ok(s.db.DeleteApp(s.ctx, "blog"))
	s.app("blog")
	runs, err := s.db.CronRuns(s.ctx, "blog", "", 10)
	s.ok(err)
	s.same(len(runs), 0)
}

// oneTurn: of many who take the same turn at once, one gets it.
func (s *storeStory) oneTurn() {
	s.app("blog")
	due := time.Date(2026, 3, 4, 5, 6, 0, 0, time.UTC)
	dbs := []Database{s.db, s.connect()}
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for i := range cap(errs) {
		wg.Go(func() {
			_, err := dbs[i%2].NewCronRun(s.ctx, hop3.CronRun{App: "blog", Entry: "x", Due: due})
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	taken := 0
	for err := range errs {
		if err == nil {
			taken++
			continue
		}
		s.fails(err, hop3.CodeConflict, "The turn of 'x' of app 'blog' at 2026-03-04 05:06:00 was taken already.")
	}
	s.same(taken, 1)
	for _, r := range []hop3.CronRun{
		{App: "blog", Entry: "y", Due: due}, {App: "blog", Entry: "x", Due: due.Add(time.Minute)}, {App: "blog", Entry: "x"}, {App: "blog", Entry: "x"},
	} {
		_, err := s.db.NewCronRun(s.ctx, r)
		s.ok(err)
	}
}

func (s *storeStory) cronHistory() {
	s.app("blog")
	s.app("shop")
	other := s.run("shop", "x", true)
	var x, y []int64
	under := s.run("blog", "x", false) // the oldest, and under way
	for range 4 {
		x = append(x, s.run("blog", "x", true))
		y = append(y, s.run("blog", "y", true))
	}
	s.runs("", 3, y[3], x[3], y[2])
	s.runs("x", 9, x[3], x[2], x[1], x[0], under)
	s.runs("z", 9)

	gone, err := s.db.PruneCronRuns(s.ctx, "blog", 2, 3)
	s.ok(err)
	var ids []int64
	for _, r := range gone {
		ids = append(ids, r.ID)
	}
	s.same(ids, []int64{x[0], y[0], x[1], y[1], x[2]})
	s.runs("", 9, y[3], x[3], y[2], under)
	gone, err = s.db.PruneCronRuns(s.ctx, "blog", 2, 3)
	s.ok(err)
	s.same(len(gone), 0)

	s.ok(s.db.EndCronRuns(s.ctx, "the server ended"))
	r, err := s.db.CronRun(s.ctx, "blog", under)
	s.ok(err)
	if r.Error != "the server ended" || time.Since(r.EndedAt).Abs() > time.Minute {
		s.Errorf("what was under way is %+v", r)
	}
	for app, id := range map[string]int64{"blog": x[3], "shop": other} {
		r, err := s.db.CronRun(s.ctx, app, id)
		s.ok(err)
		s.same(r.Error, "")
	}
}

// runs checks the numbers of the last n runs of an entry.
func (s *storeStory) runs(entry string, n int, want ...int64) {
	s.Helper()
	runs, err := s.db.CronRuns(s.ctx, "blog", entry, n)
	s.ok(err)
	var ids []int64
	for _, r := range runs {
		ids = append(ids, r.ID)
	}
	s.same(ids, want)
}
