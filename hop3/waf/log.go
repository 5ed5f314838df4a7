package waf

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// log is what was refused: a file of JSON lines for each app, so that the
// events of one do not push those of another out. It holds no file open, and
// so can rotate by renaming.
type log struct {
	dir string
	mu  sync.Mutex
}

const (
	maxLog      = 1 << 20 // bytes of a file; there are two more beside it
	longestText = 512     // bytes of a path
	// tailOfAll is how much of each file is read when all are asked for.
	tailOfAll = 32 << 10
)

var older = []string{".1", ".2"}

func (l *log) file(app string) string { return filepath.Join(l.dir, app+".log") }

func (l *log) write(e hop3.WAFEvent) error {
	if l.dir == "" || e.App == "" {
		return nil
	}
	e.Path, e.Method = short(e.Path, longestText), short(e.Method, 32)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := openLog(l.file(e.App), os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(l.dir, 0o750); err == nil {
			f, err = openLog(l.file(e.App), os.O_WRONLY|os.O_APPEND|os.O_CREATE)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	info, statErr := f.Stat()
	if err = errors.Join(err, statErr, f.Close()); err == nil && info.Size() > maxLog {
		err = l.rotate(e.App)
	}
	return err
}

func (l *log) rotate(app string) error {
	file := l.file(app)
	if err := os.Rename(file+older[0], file+older[1]); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(file, file+older[0])
}

func (l *log) remove(app string) error {
	if l.dir == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, suffix := range append([]string{""}, older...) {
		if err := os.Remove(l.file(app) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func openLog(file string, flags int) (*os.File, error) {
	return os.OpenFile(file, flags|unix.O_NOFOLLOW, 0o640)
}

func short(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Events returns the last n events of an app, of all apps when app is "", the
// oldest first.
func (g *Guard) Events(app string, n int) ([]hop3.WAFEvent, error) {
	if app != "" {
		return g.log.last(app, n)
	}
	files, err := filepath.Glob(filepath.Join(g.log.dir, "*.log"))
	if err != nil {
		return nil, err
	}
	var all []hop3.WAFEvent
	for _, file := range files {
		text, err := tail(file, tailOfAll)
		if err != nil {
			return nil, err
		}
		all = append(all, parse(text)...)
	}
	slices.SortStableFunc(all, func(a, b hop3.WAFEvent) int { return a.Time.Compare(b.Time) })
	return all[max(len(all)-n, 0):], nil
}

// last reads an app's files, the newest first, until there are n events.
func (l *log) last(app string, n int) ([]hop3.WAFEvent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var events []hop3.WAFEvent
	for _, suffix := range append([]string{""}, older...) {
		if len(events) >= n {
			break
		}
		text, err := tail(l.file(app)+suffix, 2*maxLog)
		if err != nil {
			return nil, err
		}
		events = append(parse(text), events...)
	}
	return events[max(len(events)-n, 0):], nil
}

// tail returns the end of a file; nothing when there is none.
func tail(file string, most int64) ([]byte, error) {
	f, err := openLog(file, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(info.Size()-most, 0)
	text, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if from > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text, err
}

// parse leaves out what is no event, such as a line that a crash cut.
func parse(text []byte) []hop3.WAFEvent {
	var events []hop3.WAFEvent
	for line := range bytes.Lines(text) {
		var e hop3.WAFEvent
		if json.Unmarshal(line, &e) == nil && e.App != "" {
			events = append(events, e)
		}
	}
	return events
}
