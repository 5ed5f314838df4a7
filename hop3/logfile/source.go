package logfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/abilian/hop3/hop3"
)

// maxSources bounds the logs that are read at the same time: an app may have
// made any number of files. Those that were written to last count.
const maxSources = 256

// buildLog is the log of the last build.
const buildLog = "build.log"

// AccessLog is the log of an app's requests.
const AccessLog = "access.log"

var instanceLog = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_-]*)\.([0-9]{1,9})\.log$`)

// find returns the logs in dir that a query is about, by instance.
func find(dir string, q hop3.LogQuery) (map[string]string, error) {
	if q.Build {
		return map[string]string{"": filepath.Join(dir, buildLog)}, nil
	}
	if q.Access {
		return map[string]string{"": filepath.Join(dir, AccessLog)}, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for logs: %w", err)
	}
	type log struct {
		instance, file string
		written        time.Time
	}
	var logs []log
	for _, e := range entries {
		m := instanceLog.FindStringSubmatch(e.Name())
		if m == nil || q.Type != "" && m[1] != q.Type || q.Ordinal != 0 && m[2] != strconv.Itoa(q.Ordinal) {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone, or a trap
		}
		logs = append(logs, log{m[1] + "." + m[2], filepath.Join(dir, e.Name()), info.ModTime()})
	}
	slices.SortStableFunc(logs, func(a, b log) int { return cmp.Or(b.written.Compare(a.written), cmp.Compare(a.file, b.file)) })
	found := make(map[string]string)
	for _, l := range logs[:min(len(logs), maxSources)] {
		found[l.instance] = l.file
	}
	return found, nil
}

// source gives the chosen lines of one instance from the newest to the oldest:
// those of its log, then those of the rotated ones.
type source struct {
	instance string
	file     string
	since    time.Time
	grep     []byte // in lower case; empty: any line

	reader     *backward
	next       int // of the names to open: 0 is the log itself, then those of older
	generation int64
	// Where who follows goes on: the end of the last whole line.
	startAt   int64
	startGen  int64
	startInfo os.FileInfo
	bound     time.Time // no older line can be newer; zero: not known yet
	head      hop3.LogEntry
	headOrder time.Time // by which it is merged
	ended     bool
}

func newSource(instance, file string, q hop3.LogQuery) *source {
	return &source{instance: instance, file: file, since: q.Since, grep: bytes.ToLower([]byte(q.Grep))}
}

func (s *source) close() {
	if s.reader != nil {
		s.reader.close()
		s.reader = nil
	}
}

// advance makes head the next chosen line, or sets ended.
func (s *source) advance(follow bool) error {
	for {
		if s.reader == nil {
			if err := s.open(follow); err != nil || s.ended {
				return err
			}
		}
		text, at, err := s.reader.next()
		if errors.Is(err, io.EOF) {
			s.close()
			continue
		}
		if err != nil {
			return err
		}
		s.headOrder = s.order(at)
		if !s.since.IsZero() && s.headOrder.Before(s.since) {
			s.ended = true
			s.close()
			return nil
		}
		if matches(text, s.grep) {
			s.head = hop3.LogEntry{Instance: s.instance, Time: at, Text: lineText(text)}
			return nil
		}
	}
}

// order returns the time by which a line is merged with those of other
// instances: within one, no line comes before the one above it, whatever the
// clock did. A line of unknown time counts as written with the next one.
func (s *source) order(at time.Time) time.Time {
	if s.bound.IsZero() || !at.IsZero() && at.Before(s.bound) {
		if at.IsZero() {
			at = time.Now()
			if info, err := s.reader.f.Stat(); err == nil {
				at = info.ModTime()
			}
		}
		s.bound = at
	}
	return s.bound
}

// open opens the next file, or sets ended.
func (s *source) open(follow bool) error {
	for s.next <= len(older) {
		name := s.file
		if s.next > 0 {
			name += older[s.next-1]
		}
		s.next++
		reader, err := openBackward(name)
		if err != nil {
			return fmt.Errorf("opening a log: %w", err)
		}
		if reader == nil {
			continue
		}
		generation := reader.times.generation()
		if s.next > 1 && generation != 0 && generation == s.generation {
			reader.close() // it was rotated just now, after it was read
			continue
		}
		s.generation = generation
		if s.next == 1 && follow {
			if err := reader.skipUnfinished(); err != nil {
				reader.close()
				return err
			}
			s.startAt, s.startGen, s.startInfo = reader.end, generation, reader.info
		}
		s.reader = reader
		return nil
	}
	s.ended = true
	return nil
}

// matches reports whether a line contains a text that is in lower case.
func matches(line, grep []byte) bool {
	return len(grep) == 0 || bytes.Contains(bytes.ToLower(line), grep)
}
