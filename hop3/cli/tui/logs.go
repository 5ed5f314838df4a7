package tui

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/abilian/hop3/hop3/api"
)

// maxLogLines is how many lines one can scroll back.
const maxLogLines = 5000

// logs follows an app's logs, or what happens.
type logs struct {
	app    string // "" for the events of all apps, and of the server
	events bool
	tail   *tail // what is followed; nil before the first time
	lines  []string
	filter string
	paused bool
	fresh  int // lines since it was paused
	scroll int // lines from the end of what is seen; 0 follows
	height int
	err    error
	since  time.Time // of the last connection
	retry  time.Time
}

func newLogs(app string) *logs { return &logs{app: app} }

// newEvents follows what happens: to an app, or to all that one may see.
func newEvents(app string) *logs { return &logs{app: app, events: true} }

// tail is one connection. The one that reads it never waits for the screen:
// when there are too many lines the oldest go.
type tail struct {
	stop context.CancelFunc
	more chan struct{} // has a value when there are new lines

	mu      sync.Mutex
	lines   []string
	dropped int
}

func (t *tail) add(text string) {
	t.mu.Lock()
	t.lines = append(t.lines, line(text))
	if over := len(t.lines) - maxLogLines; over > 0 {
		t.lines = append(t.lines[:0:0], t.lines[over:]...)
		t.dropped += over
	}
	t.mu.Unlock()
	select {
	case t.more <- struct{}{}:
	default:
	}
}

func (t *tail) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	if t.dropped > 0 {
		lines = append([]string{fmt.Sprintf("… %d lines came faster than they could be shown …", t.dropped)}, lines...)
	}
	t.lines, t.dropped = nil, 0
	return lines
}

// logMsg says that a tail has new lines, or has ended.
type logMsg struct {
	tail  *tail
	ended bool
	err   error
}

func (s *logs) name() string {
	if s.events {
		return "Events"
	}
	return "Logs"
}

func (s *logs) needs(*model) []query { return nil }

// start follows from the last lines on.
func (s *logs) start(m *model) tea.Cmd {
	s.leave(m)
	s.lines, s.err = nil, nil
	return s.follow(m, url.Values{"lines": {"500"}})
}

func (s *logs) follow(m *model, query url.Values) tea.Cmd {
	ctx, stop := context.WithCancel(m.ctx)
	t := &tail{stop: stop, more: make(chan struct{}, 1)}
	s.tail, s.since, s.retry = t, m.now(), time.Time{}
	c, app, events := m.client, s.app, s.events
	return tea.Batch(func() tea.Msg {
		var err error
		if events {
			err = c.FollowEvents(ctx, ofApp(query, app), func(e api.Event) { t.add(api.EventLine(e)) })
		} else {
			err = c.FollowLogs(ctx, app, query, t.add)
		}
		return logMsg{tail: t, ended: true, err: err}
	}, t.wait(ctx))
}

// ofApp adds an app to a query; "" is none.
func ofApp(query url.Values, app string) url.Values {
	if app != "" {
		query.Set("app", app)
	}
	return query
}

// wait ends with the next lines.
func (t *tail) wait(ctx context.Context) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-t.more:
			return logMsg{tail: t}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *logs) leave(*model) {
	if s.tail != nil {
		s.tail.stop()
		s.tail = nil
	}
}

// following returns the logs that a tail is of, nil when they were left.
func (m *model) following(t *tail) *logs {
	shown := m.screen()
	if page, ok := shown.(*appPage); ok {
		shown = page.tabs[page.tab]
	}
	if s, ok := shown.(*logs); ok && s.tail == t {
		return s
	}
	return nil
}

// logged gives a message to the screen it is for.
func (m *model) logged(msg logMsg) tea.Cmd {
	s := m.following(msg.tail)
	if s == nil {
		return nil
	}
	s.append(msg.tail.take())
	if !msg.ended {
		return msg.tail.wait(m.ctx)
	}
	msg.tail.stop()
	s.err = msg.err
	if s.err == nil {
		s.err = errors.New("the server ended it")
	}
	return m.again(s)
}

// again follows once more in a moment, from where it broke.
func (m *model) again(s *logs) tea.Cmd {
	const wait = 2 * time.Second
	s.retry = m.now().Add(wait)
	t := s.tail
	return tea.Tick(wait, func(time.Time) tea.Msg { return logAgain{t} })
}

// logAgain is when a tail that broke is taken up again.
type logAgain struct{ tail *tail }

func (m *model) logAgain(msg logAgain) tea.Cmd {
	s := m.following(msg.tail)
	if s == nil {
		return nil
	}
	query := url.Values{"lines": {"500"}}
	if len(s.lines) > 0 { // not once more what is seen already
		query.Set("since", s.since.UTC().Format(time.RFC3339Nano))
		s.append([]string{"── the connection broke; what follows may repeat lines ──"})
	}
	return s.follow(m, query)
}

// append adds lines at the end. Who has scrolled up goes on seeing the same.
func (s *logs) append(lines []string) {
	if len(lines) == 0 {
		return
	}
	s.err = nil
	s.lines = append(s.lines, lines...)
	if over := len(s.lines) - maxLogLines; over > 0 {
		s.lines = append(s.lines[:0:0], s.lines[over:]...)
	}
	n := 0
	for _, l := range lines {
		if s.matches(l) {
			n++
		}
	}
	if s.paused {
		s.fresh += n
	} else if s.scroll > 0 {
		s.scroll += n
	}
}

func (s *logs) matches(text string) bool {
	return s.filter == "" || strings.Contains(strings.ToLower(text), strings.ToLower(s.filter))
}

func (s *logs) shown() []string {
	if s.filter == "" {
		return s.lines
	}
	var out []string
	for _, l := range s.lines {
		if s.matches(l) {
			out = append(out, l)
		}
	}
	return out
}

func (s *logs) view(m *model, w, h int) []string {
	s.height = max(1, h-1)
	shown := s.shown()
	shown = shown[:max(0, len(shown)-s.fresh)]
	s.scroll = max(0, min(s.scroll, len(shown)-s.height))
	end := len(shown) - s.scroll
	out := []string{s.state(m)}
	for _, l := range shown[max(0, end-s.height):end] {
		out = append(out, " "+l)
	}
	return out
}

// state is the line above: whether it follows, and what is hidden.
func (s *logs) state(m *model) string {
	var parts []string
	switch {
	case s.err != nil && !s.retry.IsZero():
		parts = append(parts, m.theme.warn.Render("not following: "+line(reason(s.err))))
	case s.paused:
		parts = append(parts, m.theme.warn.Render(fmt.Sprintf("paused, %d new", s.fresh)))
	case s.scroll > 0:
		parts = append(parts, m.theme.warn.Render(fmt.Sprintf("%d lines up from the end", s.scroll)))
	default:
		parts = append(parts, m.theme.good.Render("following"))
	}
	if s.filter != "" {
		parts = append(parts, "only “"+line(s.filter)+"”")
	}
	if len(s.lines) == 0 {
		parts = append(parts, m.theme.dim.Render("nothing yet"))
	}
	return " " + strings.Join(parts, "  ")
}

func (s *logs) key(m *model, key string) (tea.Cmd, bool) {
	switch key {
	case "space", " ":
		if s.paused = !s.paused; !s.paused {
			s.scroll, s.fresh = 0, 0
		}
	case "/":
		return m.filterText(s.filter, func(text string) { s.filter, s.scroll, s.fresh = text, 0, 0 }), true
	case "up", "k":
		s.scroll++
	case "down", "j":
		s.scroll--
	case "pgup":
		s.scroll += s.height
	case "pgdown":
		s.scroll -= s.height
	case "g", "home":
		s.scroll = len(s.lines)
	case "G", "end":
		s.scroll = 0
	default:
		return nil, false
	}
	return nil, true
}

func (s *logs) click(*model, int, int) tea.Cmd { return nil }

func (s *logs) wheel(_ *model, by int) tea.Cmd {
	s.scroll -= by
	return nil
}

func (s *logs) hints(*model) []hint {
	return []hint{{"Space", "pause"}, {"/", "filter"}, {"g", "top"}, {"G", "follow"}, {"↑↓", "scroll"}}
}
