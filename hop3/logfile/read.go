package logfile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/abilian/hop3/hop3"
)

const (
	// maxBytes bounds what one query holds in memory: older lines are left
	// out.
	maxBytes = 8 << 20
	// maxTries is how often a query begins anew because a log was rotated
	// under it.
	maxTries = 5
)

// Read gives the lines of the logs in dir that the query chooses to entry, in
// the order in which they were written. With q.Follow it goes on with new
// ones, also of instances that come later, until ctx is done, and returns its
// cause. An error of entry ends it and is returned. Who takes a line late
// keeps Read waiting and loses, when that takes a rotation and more, the lines
// that went away meanwhile; an entry says so. Whatever lies in dir, Read holds a few MB
// in memory.
func Read(ctx context.Context, dir string, q hop3.LogQuery, entry func(hop3.LogEntry) error) error {
	for try := 1; ; try++ {
		sources, entries, err := last(ctx, dir, q)
		if errors.Is(err, errEmptied) && try < maxTries {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := entry(e); err != nil {
				return err
			}
		}
		if !q.Follow {
			return nil
		}
		return newFollower(dir, q, sources, entry).run(ctx)
	}
}

// last returns the last lines, the oldest first, and the sources they are of.
func last(ctx context.Context, dir string, q hop3.LogQuery) ([]*source, []hop3.LogEntry, error) {
	files, err := find(dir, q)
	if err != nil {
		return nil, nil, err
	}
	var sources []*source
	for instance, file := range files {
		sources = append(sources, newSource(instance, file, q))
	}
	slices.SortFunc(sources, func(a, b *source) int { return compareInstances(a.instance, b.instance) })
	defer func() {
		for _, s := range sources {
			s.close()
		}
	}()
	for _, s := range sources {
		if err := s.advance(q.Follow); err != nil {
			return nil, nil, fmt.Errorf("reading the log of %s: %w", s.instance, err)
		}
	}
	var newest []hop3.LogEntry
	for bytes := 0; len(newest) < q.Lines; {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		s := latest(sources)
		if s == nil {
			break
		}
		if bytes += len(s.head.Text); bytes > maxBytes {
			newest = append(newest, hop3.LogEntry{Text: "… older lines are too much to show: ask for fewer"})
			break
		}
		newest = append(newest, s.head)
		if err := s.advance(q.Follow); err != nil {
			return nil, nil, fmt.Errorf("reading the log of %s: %w", s.instance, err)
		}
	}
	slices.Reverse(newest)
	return sources, newest, nil
}

// latest returns the source with the newest line; nil when none has any. Of
// equals it is the last: turned around, they are in the order of instances.
func latest(sources []*source) *source {
	var found *source
	for _, s := range sources {
		if !s.ended && (found == nil || !s.headOrder.Before(found.headOrder)) {
			found = s
		}
	}
	return found
}

// compareInstances orders web.2 before web.10.
func compareInstances(a, b string) int {
	if len(a) != len(b) && instanceType(a) == instanceType(b) {
		return len(a) - len(b)
	}
	if a < b {
		return -1
	}
	return 1
}

func instanceType(instance string) string {
	for i := range instance {
		if instance[i] == '.' {
			return instance[:i]
		}
	}
	return instance
}
