// Package failures remembers the last requests that apps did not answer: in
// memory, and in a file for each app so that a restart forgets none. What it
// keeps is bounded for each app and for all, and writing is never waited for.
package failures

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/abilian/hop3/hop3"
)

// Keeping is how much is kept.
var Keeping = hop3.FailureKeeping{EachApp: 500, All: 10_000, Age: 7 * 24 * time.Hour}

// flushPause is how long what is new is collected before it is written: under
// a flood, what an app has forgotten again meanwhile is never written.
const flushPause = 100 * time.Millisecond

// Texts are cut at these lengths, in bytes: a client chooses most of them.
const (
	maxPath   = 512
	maxDetail = 600
	maxName   = 255
)

// Journal is the failures of one server. Its methods are safe for concurrent
// use.
type Journal struct {
	dir    string
	keep   hop3.FailureKeeping
	logger *slog.Logger

	mu    sync.Mutex
	apps  map[string]*ring
	total int

	files sync.Mutex // held while files are written; before mu
	news  chan struct{}
}

// ring is the failures of one app, the oldest first.
type ring struct {
	failures []hop3.Failure
	unsaved  int // of the newest
	lines    int // of its file
}

// Open reads what an earlier server has left in dir, which is made. A file that
// cannot be read is left out: records of failures are no reason not to start.
func Open(dir string, logger *slog.Logger) (*Journal, error) { return open(dir, Keeping, logger) }

func open(dir string, keep hop3.FailureKeeping, logger *slog.Logger) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, keep: keep, logger: logger, apps: map[string]*ring{}, news: make(chan struct{}, 1)}
	return j, j.load()
}

// Keeping returns how much is kept.
func (j *Journal) Keeping() hop3.FailureKeeping { return j.keep }

// Add remembers a failure. It does not wait for the disk.
func (j *Journal) Add(f hop3.Failure) {
	f.Path, f.Detail = cut(f.Path, maxPath), cut(f.Detail, maxDetail)
	f.Host, f.Method, f.ID = cut(f.Host, maxName), cut(f.Method, 32), cut(f.ID, 128)
	j.mu.Lock()
	r := j.apps[f.App]
	if r == nil {
		r = &ring{}
		j.apps[f.App] = r
	}
	r.failures = append(r.failures, f)
	r.unsaved++
	j.total++
	if len(r.failures) > j.keep.EachApp {
		j.forgetOldest(r)
	}
	for j.total > j.keep.All {
		j.forgetOldest(j.longest())
	}
	j.mu.Unlock()
	select {
	case j.news <- struct{}{}:
	default: // the writer will see it
	}
}

// Find returns the failures of requests with an id, the newest first.
func (j *Journal) Find(id string) []hop3.Failure {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := time.Now().Add(-j.keep.Age)
	var found []hop3.Failure
	for _, r := range j.apps {
		for _, f := range r.failures {
			if f.ID == id && f.Time.After(oldest) {
				found = append(found, f)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b hop3.Failure) int { return b.Time.Compare(a.Time) })
	return found
}

// Recent returns the last n failures of an app, the newest first.
func (j *Journal) Recent(app string, n int) []hop3.Failure {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := time.Now().Add(-j.keep.Age)
	var found []hop3.Failure
	if r := j.apps[app]; r != nil {
		for _, f := range slices.Backward(r.failures) {
			if len(found) == n || f.Time.Before(oldest) {
				break
			}
			found = append(found, f)
		}
	}
	return found
}

// Forget forgets an app: the next one of its name has nothing to do with it.
func (j *Journal) Forget(app string) error {
	j.files.Lock()
	defer j.files.Unlock()
	j.mu.Lock()
	if r := j.apps[app]; r != nil {
		j.total -= len(r.failures)
		delete(j.apps, app)
	}
	j.mu.Unlock()
	return removeFile(j.file(app))
}

// Run writes what is added until ctx ends, and then what is left.
func (j *Journal) Run(ctx context.Context) {
	for {
		select {
		case <-j.news:
		case <-ctx.Done():
			j.save()
			return
		}
		timer := time.NewTimer(flushPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		j.save()
	}
}

// Private

// forgetOldest forgets the oldest failure of an app. mu is held.
func (j *Journal) forgetOldest(r *ring) {
	r.failures[0] = hop3.Failure{}
	r.failures = r.failures[1:]
	r.unsaved = min(r.unsaved, len(r.failures))
	j.total--
}

// longest returns the app with the most failures. mu is held.
func (j *Journal) longest() (most *ring) {
	for _, r := range j.apps {
		if most == nil || len(r.failures) > len(most.failures) {
			most = r
		}
	}
	return most
}

// cut shortens a text, not within a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	text = text[:most]
	for len(text) > 0 {
		if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text + "…"
}
