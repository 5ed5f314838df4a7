package platform

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// LogQuery chooses log lines.
type LogQuery struct {
	Lines  int    // the last n; 0 means 100
	Grep   string // case-insensitive substring
	Type   string // process type; "" for all
	Build  bool   // the build's log instead of the instances'
	Follow bool   // goes on with new lines until the context ends
}

// Logs calls line with the chosen log lines of an app, each with the instance
// it comes from in front.
func (p *Platform) Logs(ctx context.Context, name string, q LogQuery, line func(string) error) error {
	if _, err := p.Store.App(ctx, name); err != nil {
		return err
	}
	files, err := p.logFiles(name, q)
	if err != nil {
		return err
	}
	n := q.Lines
	if n <= 0 {
		n = 100
	}
	grep := strings.ToLower(q.Grep)
	return p.Files.Tail(ctx, files, n, q.Follow, func(file, text string) error {
		if grep != "" && !strings.Contains(strings.ToLower(text), grep) {
			return nil
		}
		if q.Build {
			return line(text)
		}
		return line(strings.TrimSuffix(filepath.Base(file), ".log") + " | " + text)
	})
}

// logFiles returns the files that hold what q asks for.
func (p *Platform) logFiles(app string, q LogQuery) ([]string, error) {
	if q.Build {
		return []string{p.buildLog(app)}, nil
	}
	if q.Type != "" {
		if err := hop3.ValidateProcessType(q.Type); err != nil {
			return nil, err
		}
	}
	names, err := p.Files.List(p.logDir(app))
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") || name == filepath.Base(p.buildLog(app)) {
			continue
		}
		if q.Type != "" && !strings.HasPrefix(name, q.Type+".") {
			continue
		}
		files = append(files, filepath.Join(p.logDir(app), name))
	}
	return files, nil
}
