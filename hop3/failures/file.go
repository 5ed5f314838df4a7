package failures

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

const suffix = ".jsonl"

// file is where an app's failures are, a line of JSON each. It is written at
// its end, and anew when it has twice the lines that are kept.
func (j *Journal) file(app string) string { return filepath.Join(j.dir, app+suffix) }

// load reads the files of dir.
func (j *Journal) load() error {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		app, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || hop3.ValidateAppName(app) != nil || !e.Type().IsRegular() {
			continue
		}
		r, err := j.read(app)
		if err != nil {
			j.logger.Warn("reading the failed requests of an app", slog.String("app", app), slog.Any("error", err))
			continue
		}
		j.apps[app] = r
		for j.total += len(r.failures); j.total > j.keep.All; {
			j.forgetOldest(j.longest())
		}
	}
	return nil
}

// read reads the file of an app. Lines that are none, as the last one of a
// server that was killed, are left out.
func (j *Journal) read(app string) (*ring, error) {
	f, err := os.Open(j.file(app))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, oldest := &ring{}, time.Now().Add(-j.keep.Age)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		r.lines++
		var failure hop3.Failure
		if json.Unmarshal(lines.Bytes(), &failure) != nil || failure.App != app || failure.Time.Before(oldest) {
			continue
		}
		r.failures = append(r.failures, failure)
	}
	r.failures = r.failures[max(len(r.failures)-j.keep.EachApp, 0):]
	r.lines = max(r.lines, 2*j.keep.EachApp) // the next write is of the whole file: this one may end in half a line
	return r, lines.Err()
}

// save writes what is new.
func (j *Journal) save() {
	j.files.Lock()
	defer j.files.Unlock()
	j.mu.Lock()
	var changed []string
	for app, r := range j.apps {
		if r.unsaved > 0 {
			changed = append(changed, app)
		}
	}
	j.mu.Unlock()
	for _, app := range changed {
		if err := j.saveApp(app); err != nil {
			j.logger.Warn("writing the failed requests of an app", slog.String("app", app), slog.Any("error", err))
		}
	}
}

// saveApp writes what is new of an app. files is held.
func (j *Journal) saveApp(app string) error {
	j.mu.Lock()
	r := j.apps[app]
	if r == nil {
		j.mu.Unlock()
		return nil
	}
	anew := r.lines+r.unsaved > 2*j.keep.EachApp
	write := r.failures[len(r.failures)-r.unsaved:]
	if anew {
		write, r.lines = r.failures, 0
	}
	write = slices.Clone(write)
	r.lines, r.unsaved = r.lines+len(write), 0
	j.mu.Unlock()

	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	for _, f := range write {
		if err := lines.Encode(f); err != nil {
			return err
		}
	}
	if anew {
		return replace(j.file(app), text.Bytes())
	}
	f, err := os.OpenFile(j.file(app), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	return errors.Join(err, f.Close())
}

// replace writes a file so that readers see the old or the new content.
func replace(file string, content []byte) error {
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// removeFile removes a file; it is no error when there is none.
func removeFile(file string) error {
	err := os.Remove(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
