package cli

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3/api"
)

// logs is `app logs`: without -f it is the server's command.
func logs(ctx context.Context, p *program, args []string) error {
	since, args, err := option(args, "--since")
	if err != nil {
		return err
	}
	since = localTime(since)
	follow, rest := toggle(args, "-f", "--follow")
	if !follow {
		if since != "" {
			rest = append(rest, "--since", since)
		}
		return p.remote(ctx, append([]string{"app", "logs"}, rest...))
	}
	query := url.Values{}
	if since != "" {
		query.Set("since", since)
	}
	if err := followOptions(query, rest, []followOption{{"lines", "-n"}, {"grep", ""}, {"type", "-p"}}, "access", "build", "since-deploy"); err != nil {
		return err
	}
	return p.followLogs(ctx, query)
}

// followOption is an option with a value, and its short form.
type followOption struct{ name, short string }

// followOptions puts what a command that follows was given into the query of its
// stream, each by its name. What else there is is a mistake.
func followOptions(query url.Values, args []string, options []followOption, switches ...string) error {
	for _, o := range options {
		value, rest, err := option(args, "--"+o.name, o.short)
		if err != nil {
			return err
		}
		if args = rest; value != "" {
			query.Set(o.name, value)
		}
	}
	for _, name := range switches {
		given, rest := toggle(args, "--"+name)
		if args = rest; given {
			query.Set(name, "true")
		}
	}
	return noMore(args)
}

func (p *program) followLogs(ctx context.Context, query url.Values) error {
	app, err := p.resolveApp()
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	lines := newBacklog()
	var shown sync.WaitGroup
	shown.Go(func() {
		for line := range lines.all {
			p.printer.item(api.Text("%s", line), nil)
		}
	})
	err = c.FollowLogs(ctx, app, query, lines.add)
	lines.end()
	if ctx.Err() != nil {
		return ctx.Err() // without what is still to be shown
	}
	shown.Wait()
	return err
}

// localTime turns a time of day into one that means the same everywhere; all
// else is the server's to understand.
func localTime(text string) string {
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t.Format(time.RFC3339)
		}
	}
	return text
}

// maxBacklog is how many bytes of lines wait for somebody who has paused the
// output.
const maxBacklog = 4 << 20

// backlog holds lines until they are shown. When there are too many it drops
// the oldest, and says so: the connection never waits for the terminal.
type backlog struct {
	mu      sync.Mutex
	more    *sync.Cond
	lines   []string
	size    int
	dropped int
	ended   bool
}

func newBacklog() *backlog {
	b := &backlog{}
	b.more = sync.NewCond(&b.mu)
	return b
}

func (b *backlog) add(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
	for b.size += len(line); b.size > maxBacklog; b.dropped++ {
		b.size -= len(b.lines[0])
		b.lines = b.lines[1:]
	}
	b.more.Signal()
}

// end says that no more lines come.
func (b *backlog) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.more.Signal()
}

// all waits for lines and yields them, until the end.
func (b *backlog) all(yield func(string) bool) {
	for {
		line, ok := b.next()
		if !ok || !yield(line) {
			return
		}
	}
}

func (b *backlog) next() (line string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.lines) == 0 && !b.ended {
		b.more.Wait()
	}
	if b.dropped > 0 {
		line = fmt.Sprintf("… %d lines were dropped: they came faster than they were shown", b.dropped)
		b.dropped = 0
		return line, true
	}
	if len(b.lines) == 0 {
		return "", false
	}
	line = b.lines[0]
	b.lines = b.lines[1:]
	b.size -= len(line)
	return line, true
}
