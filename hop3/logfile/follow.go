package logfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"

	"github.com/abilian/hop3/hop3"
)

const (
	// pollInterval is how long a new line may wait for its reader.
	pollInterval = 200 * time.Millisecond
	// findEvery is after how many polls new logs, and whether there is an app
	// at all, are looked for.
	findEvery = 5
	// maxUnsure is how many polls a log that became shorter may take to show
	// its new generation: a rotation is not done at once.
	maxUnsure = 3
)

// lostLines is said where lines went away before they were read.
const lostLines = "… some lines were lost: the log grew faster than it was read"

// follower gives what is written to logs from now on.
type follower struct {
	dir   string
	query hop3.LogQuery
	grep  []byte
	entry func(hop3.LogEntry) error
	tails []*tail
}

func newFollower(dir string, q hop3.LogQuery, sources []*source, entry func(hop3.LogEntry) error) *follower {
	f := &follower{dir: dir, query: q, grep: bytes.ToLower([]byte(q.Grep)), entry: entry}
	for _, s := range sources {
		f.tails = append(f.tails, &tail{instance: s.instance, file: s.file, offset: s.startAt, generation: s.startGen, seen: s.startInfo})
	}
	return f
}

func (f *follower) run(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		if n%findEvery == 0 {
			if err := f.look(ctx); err != nil {
				return err
			}
		}
		if err := f.poll(ctx); err != nil {
			return err
		}
	}
}

// look looks for new logs, and whether there is any use in going on.
func (f *follower) look(ctx context.Context) error {
	if f.query.Alive != nil {
		if err := f.query.Alive(ctx); err != nil {
			return err
		}
	}
	files, err := find(f.dir, f.query)
	if err != nil {
		return err
	}
	for _, t := range f.tails {
		delete(files, t.instance)
	}
	for instance, file := range files {
		if len(f.tails) < maxSources {
			f.tails = append(f.tails, &tail{instance: instance, file: file})
		}
	}
	return nil
}

// poll gives what is new, merged by time.
func (f *follower) poll(ctx context.Context) error {
	for _, t := range f.tails {
		t.budget = maxPoll
	}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var first *tail
		for _, t := range f.tails {
			if len(t.ready) == 0 {
				if err := t.fill(); err != nil {
					return err
				}
			}
			if len(t.ready) > 0 && (first == nil || t.ready[0].Time.Before(first.ready[0].Time)) {
				first = t
			}
		}
		if first == nil {
			return nil
		}
		e := first.ready[0]
		first.ready = first.ready[1:]
		if !matches([]byte(e.Text), f.grep) && e.Text != lostLines {
			continue
		}
		if err := f.entry(e); err != nil {
			return err
		}
	}
}

// maxPoll bounds what one poll takes of one log: one that never stops growing
// must not keep the others waiting.
const maxPoll = 1 << 20

// tail is the reading of one growing log.
type tail struct {
	instance   string
	file       string
	offset     int64
	generation int64       // of what offset is in; 0: not known
	unsure     int         // polls that saw a log shorter than offset
	budget     int         // bytes that this poll may still take
	seen       os.FileInfo // of the log when it had nothing more
	part       []byte
	cutting    bool // the rest of a line that was too long is left out
	ready      []hop3.LogEntry
}

// fill reads on, as far as one chunk. What it gets is sure to be of the
// generation it is taken for: else it is thrown away, and read again.
func (t *tail) fill() error {
	if info, err := os.Lstat(t.file); err == nil && t.seen != nil && unchanged(info, t.seen) {
		return nil
	}
	for len(t.ready) == 0 && t.budget > 0 {
		more, err := t.read(t.file)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func unchanged(a, b os.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

// read reads one chunk of the log, or of where its lines went. It returns
// false when there is no more for now.
func (t *tail) read(name string) (more bool, err error) {
	f, err := openRegular(name, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	times := openTimes(name, info.ModTime())
	defer times.close()
	generation := times.generation()
	switch {
	case t.generation == 0: // the first time, or again after a while without
		t.generation = generation
		if t.seen != nil && !os.SameFile(t.seen, info) {
			t.flush()
			t.offset = 0
		}
	case generation == 0:
		return t.shorter(info.Size()) // a rotation under way, or somebody removed the times
	case generation != t.generation:
		return t.rotated(times.header)
	}
	if info.Size() < t.offset {
		return t.shorter(info.Size())
	}
	t.unsure = 0
	buf := make([]byte, min(chunk, info.Size()-t.offset))
	if len(buf) == 0 {
		t.seen = info
		return false, nil
	}
	if err := readFull(f, buf, t.offset); err != nil || generationOf(name) != generation {
		return false, ignoreEmptied(err) // the next poll knows more
	}
	t.take(buf, t.offset, times)
	t.offset += int64(len(buf))
	t.budget -= len(buf)
	return true, nil
}

func ignoreEmptied(err error) error {
	if errors.Is(err, errEmptied) {
		return nil
	}
	return err
}

// shorter waits for the sign of a rotation. When none comes, somebody else
// emptied the log.
func (t *tail) shorter(size int64) (more bool, err error) {
	if t.unsure++; t.unsure < maxUnsure {
		return false, nil
	}
	t.unsure, t.generation = 0, 0
	if size < t.offset {
		t.flush()
		t.offset = 0
	}
	return true, nil
}

// rotated reads the rest of a generation where it went, and goes over to the
// next one.
func (t *tail) rotated(next header) (more bool, err error) {
	for _, suffix := range older {
		name := t.file + suffix
		if generationOf(name) != t.generation {
			continue
		}
		size, err := t.rest(name)
		if err != nil || size > 0 {
			return size > 0, ignoreEmptied(err)
		}
		t.begin(next)
		return true, nil
	}
	if next.before != t.generation { // else the app emptied it itself
		t.lost()
	}
	t.begin(next)
	return true, nil
}

// rest takes a chunk of a rotated log and returns its size, 0 when there is no
// more. With errEmptied the log was rotated further meanwhile.
func (t *tail) rest(name string) (size int, err error) {
	f, err := openRegular(name, os.O_RDONLY)
	if err != nil {
		return 0, errEmptied
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	times := openTimes(name, info.ModTime())
	defer times.close()
	if times.generation() != t.generation {
		return 0, errEmptied
	}
	base := times.header.base
	at := max(t.offset-base, 0)
	buf := make([]byte, max(0, min(chunk, info.Size()-at)))
	if err := readFull(f, buf, at); err != nil || generationOf(name) != t.generation {
		return 0, errEmptied
	}
	if t.offset < base {
		t.lost()
		t.offset = base
	}
	t.take(buf, at, times)
	t.offset += int64(len(buf))
	t.budget -= len(buf)
	return len(buf), nil
}

// begin goes over to the beginning of a generation.
func (t *tail) begin(next header) {
	t.flush()
	t.offset, t.generation, t.unsure = 0, next.generation, 0
}

// lost says that lines went away before they were read.
func (t *tail) lost() {
	t.flush()
	t.ready = append(t.ready, hop3.LogEntry{Instance: t.instance, Time: time.Now(), Text: lostLines})
}

// take splits what was read at an offset into lines, and keeps the last one
// when it has no end yet.
func (t *tail) take(data []byte, at int64, times *times) {
	for len(data) > 0 {
		text, rest, ended := bytes.Cut(data, []byte{'\n'})
		at += int64(len(data) - len(rest))
		if !t.cutting {
			t.part = append(t.part, text[:min(len(text), maxLine+1-len(t.part))]...)
		}
		t.cutting = len(t.part) > maxLine
		data = rest
		if ended {
			t.emit(times.at(at))
		}
	}
}

// flush gives a last line that will get no end.
func (t *tail) flush() {
	if len(t.part) > 0 {
		t.emit(time.Now())
	}
}

func (t *tail) emit(at time.Time) {
	t.ready = append(t.ready, hop3.LogEntry{Instance: t.instance, Time: at, Text: lineText(t.part)})
	t.part, t.cutting = t.part[:0], false
}
