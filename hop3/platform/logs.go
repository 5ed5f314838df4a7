package platform

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Logs calls line with the log lines of an app that q chooses, the oldest
// first. What an app wrote to drive a terminal is taken out of them, but for
// colours. A follower's end is ctx's, the server's, or the app's: then the
// error is CodeNotFound.
func (p *Platform) Logs(ctx context.Context, who Actor, name string, q hop3.LogQuery, line func(LogLine) error) error {
	app, _, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil {
		return err
	}
	if q.Type != "" {
		if err := p.checkLogType(ctx, app, q); err != nil {
			return err
		}
	}
	if q.Lines <= 0 {
		q.Lines = defaultLines
	}
	until := p.interruptible
	if q.Follow {
		until = p.following
	}
	ctx, done := until(ctx)
	defer done()
	q.Alive = func(ctx context.Context) error {
		if p.gone(ctx, name) {
			return hop3.Errorf(hop3.CodeNotFound, "App '%s' was destroyed.", name)
		}
		return nil
	}
	return followed(ctx, p.Files.Logs(ctx, p.logDir(name), q, func(e hop3.LogEntry) error {
		if q.Access { // its lines have their time in them, and are for programs
			return line(LogLine{Text: printable(e.Text)})
		}
		return line(LogLine{Instance: e.Instance, Time: e.Time, Text: printable(e.Text)})
	}))
}

// existence is what was last known of whether apps exist that people watch: the
// many who watch one do not ask the database for each of them.
type existence struct {
	mu     sync.Mutex
	looked map[string]time.Time // since when each is known to exist
}

// gone reports whether there is no app of a name, or was none a second ago.
// Trouble with the database may be over soon: then it is there.
func (p *Platform) gone(ctx context.Context, app string) bool {
	e := &p.existence
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.looked[app]) < time.Second {
		return false
	}
	if _, err := p.Store.App(ctx, app); hop3.CodeOf(err) == hop3.CodeNotFound {
		return true
	}
	if e.looked == nil || len(e.looked) > 1000 {
		e.looked = map[string]time.Time{}
	}
	e.looked[app] = time.Now()
	return false
}

const defaultLines = 100

// LogLine is a line of a log as people may see it.
type LogLine struct {
	Instance string    // "web.1"; "" for the build's
	Time     time.Time // the zero time when nobody knows
	Text     string
}

// String returns the line with its time and its instance in front.
func (l LogLine) String() string {
	var b strings.Builder
	if !l.Time.IsZero() {
		b.WriteString(l.Time.UTC().Format("2006-01-02T15:04:05.000Z "))
	}
	if l.Instance != "" {
		b.WriteString(l.Instance + " | ")
	}
	b.WriteString(l.Text)
	return b.String()
}

// LastDeploy returns when the release that serves was made; the zero time when
// there is none.
func (p *Platform) LastDeploy(ctx context.Context, who Actor, name string) (time.Time, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil || app.Live == 0 {
		return time.Time{}, err
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	return live.CreatedAt, err
}

// checkLogType refuses a type that the app does not have and of which there
// are no logs.
func (p *Platform) checkLogType(ctx context.Context, app hop3.App, q hop3.LogQuery) error {
	if err := hop3.ValidateProcessType(q.Type); err != nil {
		return err
	}
	var types []string
	if app.Live != 0 {
		live, err := p.Store.Release(ctx, app.Name, app.Live)
		if err != nil {
			return err
		}
		for _, process := range live.Processes {
			types = append(types, process.Type)
		}
	}
	if slices.Contains(types, q.Type) {
		return nil
	}
	names, err := p.Files.List(p.logDir(app.Name))
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, q.Type+".") {
			return nil // it had that type once
		}
	}
	mistake := hop3.Errorf(hop3.CodeInvalid, "App '%s' has no process type '%s'.", app.Name, q.Type)
	if len(types) > 0 {
		return mistake.WithHint("It has: %s.", strings.Join(types, ", "))
	}
	return mistake
}
