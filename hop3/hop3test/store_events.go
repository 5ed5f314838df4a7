package hop3test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// EventDatabase is the part of a store that remembers what happened.
type EventDatabase interface {
	AddEvents(ctx context.Context, events ...hop3.Event) error
	Events(ctx context.Context, q hop3.EventQuery) ([]hop3.Event, error)
	Appended() <-chan struct{}
	VerifyEvents(ctx context.Context) (hop3.EventChain, error)
	PruneEvents(ctx context.Context, before time.Time, most int) error
}

func (s *storeStory) events(db Database, q hop3.EventQuery) (text string) {
	s.Helper()
	events, err := db.Events(s.ctx, q)
	s.ok(err)
	for _, e := range events {
		text += fmt.Sprintf("%d %s\n", e.ID, e.Message)
	}
	return text
}

func (s *storeStory) eventsOfChanges() {
	db := s.db
	e := hop3.Event{
		Kind: hop3.EventAppCreated, Actor: "alice", Source: "192.0.2.1", App: "blog", Release: 3, Message: "made\x00 \xff",
		Changes: []hop3.Difference{{Property: "Process web", Old: "1", New: "2"}}, Data: map[string]string{"a": "b"},
	}
	woken := db.Appended()
	s.ok(db.CreateApp(s.ctx, hop3.App{Name: "blog"}, e))
	<-woken
	got, err := s.connect().Events(s.ctx, hop3.EventQuery{})
	s.ok(err)
	if len(got) != 1 || time.Since(got[0].Time) > time.Minute {
		s.Fatalf("the events are %+v", got)
	}
	e.ID, e.Time, e.Message = 1, got[0].Time, "made\uFFFD \uFFFD"
	if fmt.Sprint(got[0]) != fmt.Sprint(e) {
		s.Errorf("the event is %+v, want %+v", got[0], e)
	}
	no := errors.New("no")
	_, err = db.UpdateApp(s.ctx, "blog", func(*hop3.App) error { return no }, e)
	if !errors.Is(err, no) {
		s.Error(err)
	}
	if err := db.CreateApp(s.ctx, hop3.App{Name: "blog"}, e); hop3.CodeOf(err) != hop3.CodeConflict {
		s.Error(err)
	}
	if err := db.DeleteApp(s.ctx, "other", e); hop3.CodeOf(err) != hop3.CodeNotFound {
		s.Error(err)
	}
	s.ok(db.DeleteApp(s.ctx, "blog", hop3.Event{Message: "destroyed"}))
	if got := s.events(db, hop3.EventQuery{After: 1}); got != "2 destroyed\n" {
		s.Errorf("the events are\n%s", got)
	}
}

func (s *storeStory) eventQueries() {
	db := s.db
	for i := range 10 {
		s.ok(db.AddEvents(s.ctx,
			hop3.Event{Kind: hop3.EventDeployStarted, App: "blog", Message: fmt.Sprint("started ", i)},
			hop3.Event{Kind: hop3.EventDeployFailed, App: "shop", Message: fmt.Sprint("failed ", i)}))
	}
	for _, c := range []struct {
		query hop3.EventQuery
		want  string
	}{
		{hop3.EventQuery{Limit: 3}, "18 failed 8\n19 started 9\n20 failed 9\n"},
		{hop3.EventQuery{Limit: 2, App: "blog"}, "17 started 8\n19 started 9\n"},
		{hop3.EventQuery{Limit: 1, Kind: "deploy"}, "20 failed 9\n"},
		{hop3.EventQuery{Limit: 1, Kind: "deploy.started"}, "19 started 9\n"},
		{hop3.EventQuery{Limit: 1, Kind: "dep"}, ""},
		{hop3.EventQuery{Limit: 1, Kind: "%"}, ""},
		{hop3.EventQuery{Limit: 2, After: 3}, "4 failed 1\n5 started 2\n"},
		{hop3.EventQuery{Limit: 2, Before: 3}, "1 started 0\n2 failed 0\n"},
		{hop3.EventQuery{Since: time.Now().Add(time.Hour)}, ""},
		{hop3.EventQuery{Since: time.Now().Add(-time.Hour), Before: 2}, "1 started 0\n"},
	} {
		if got := s.events(db, c.query); got != c.want {
			s.Errorf("%+v: %q, want %q", c.query, got, c.want)
		}
	}
}

func (s *storeStory) eventChain() {
	db := s.db
	empty, err := db.VerifyEvents(s.ctx)
	s.ok(err)
	if empty != (hop3.EventChain{}) {
		s.Errorf("the chain of nothing is %+v", empty)
	}
	var all sync.WaitGroup
	for i := range 8 {
		other := s.connect()
		all.Go(func() {
			for range 5 {
				if err := other.AddEvents(s.ctx, hop3.Event{Message: fmt.Sprint(i)}); err != nil {
					s.Error(err)
				}
			}
		})
	}
	all.Wait()
	c, err := db.VerifyEvents(s.ctx)
	if err != nil || c.First != 1 || c.Last != 40 || len(c.Hash) != 64 {
		s.Errorf("%+v, %v", c, err)
	}
	s.ok(db.PruneEvents(s.ctx, time.Time{}, 10))
	again, err := db.VerifyEvents(s.ctx)
	if err != nil || again.First != 31 || again.Last != 40 || again.Hash != c.Hash {
		s.Errorf("%+v, %v", again, err)
	}
	s.ok(db.PruneEvents(s.ctx, time.Now().Add(time.Hour), 10))
	s.ok(db.PruneEvents(s.ctx, time.Now().Add(time.Hour), 0))
	s.ok(db.AddEvents(s.ctx, hop3.Event{Message: "new"}))
	if got := s.events(db, hop3.EventQuery{}); len(got) < 7 || got[len(got)-7:] != "41 new\n" {
		s.Errorf("the events are\n%s", got)
	}
	if _, err := db.VerifyEvents(s.ctx); err != nil {
		s.Error(err)
	}
}
