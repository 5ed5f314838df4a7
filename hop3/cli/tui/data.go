package tui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

const (
	queryTimeout  = 20 * time.Second
	actionTimeout = 300 * time.Second
	maxBackoff    = 30 * time.Second
)

// query is a command whose answer a screen shows, and how old that may get.
type query struct {
	args  []string
	every time.Duration
}

func ask(every time.Duration, args ...string) query { return query{args, every} }

func (q query) key() string { return strings.Join(q.args, "\x00") }

// answer is what the server said to a query, the last time it could be asked.
type answer struct {
	items   []api.Item
	err     error     // of the server: it refused
	at      time.Time // when it was given; zero: not yet
	due     time.Time
	asked   time.Time // when it was asked for last
	loading bool
}

// table returns the first table of the answer, clean.
func (a *answer) table() (headers []string, rows [][]string, ok bool) {
	if a == nil {
		return nil, nil, false
	}
	for _, item := range a.items {
		if item.T != api.KindTable {
			continue
		}
		for _, h := range item.Headers {
			headers = append(headers, line(h))
		}
		for _, row := range item.Rows {
			cells := make([]string, len(row))
			for i, v := range row {
				if v != nil {
					cells[i] = line(fmt.Sprint(v))
				}
			}
			rows = append(rows, cells)
		}
		return headers, rows, true
	}
	return nil, nil, false
}

// words returns what the answer says besides tables, clean.
func (a *answer) words() string {
	if a == nil {
		return ""
	}
	if a.err != nil {
		return clean(a.err.Error())
	}
	var lines []string
	for _, item := range a.items {
		if text := itemText(item); text != "" {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "\n")
}

// itemText is an item that is no table as text, clean.
func itemText(item api.Item) string {
	switch item.T {
	case api.KindTable, api.KindStream, api.KindBlob, api.KindData:
		return ""
	case api.KindLog:
		return clean(item.Msg)
	case api.KindHint:
		return clean(strings.ReplaceAll(item.Message, "{cmd}", "'hop3 "+item.Command+"'"))
	}
	return clean(item.Text)
}

// answered is the answer to a query, or why there is none.
type answered struct {
	epoch int // of the server that was asked
	key   string
	items []api.Item
	err   error
}

// connection is whether the server can be reached.
type connection struct {
	err      error // nil: it can
	since    time.Time
	failures int
	retry    time.Time
}

func (c *connection) failed(err error, now time.Time) {
	if c.err == nil {
		c.since = now
	}
	c.err = err
	c.failures++
	wait := min(time.Second<<min(c.failures-1, 6), maxBackoff)
	c.retry = now.Add(wait)
}

// unreachable reports whether an error means that nobody answered.
func unreachable(err error) bool {
	var gone *client.Unreachable
	return errors.As(err, &gone) || errors.Is(err, context.DeadlineExceeded)
}

// reason is an error without the request that it happened to.
func reason(err error) string {
	var gone *client.Unreachable
	var request *url.Error
	if errors.As(err, &gone) && errors.As(gone.Err, &request) {
		return (&client.Unreachable{Server: gone.Server, Err: request.Err}).Error()
	}
	return err.Error()
}

// notThere reports whether the server does not know the command at all.
func notThere(err error) bool {
	var server *client.Error
	return errors.As(err, &server) && server.Code == api.CodeUnknownCommand
}

func unauthorized(err error) bool {
	var server *client.Error
	return errors.As(err, &server) && server.Code == http.StatusUnauthorized
}

// get returns the answer to a query, nil when there is none yet.
func (m *model) get(args ...string) *answer {
	if a := m.answers[strings.Join(args, "\x00")]; a != nil && !a.at.IsZero() {
		return a
	}
	return nil
}

// forget drops an answer, as one with secrets in it.
func (m *model) forget(args ...string) { delete(m.answers, strings.Join(args, "\x00")) }

// poll asks again what the screen shows and is due. While the server cannot be
// reached one query tries it, later and later.
func (m *model) poll() tea.Cmd {
	now := m.now()
	if m.conn.err != nil && (now.Before(m.conn.retry) || m.anyLoading()) {
		return nil
	}
	var cmds []tea.Cmd
	for _, q := range m.screen().needs(m) {
		a := m.answers[q.key()]
		if a == nil {
			a = &answer{}
			m.answers[q.key()] = a
		}
		if a.loading || m.conn.err == nil && now.Before(a.due) {
			continue
		}
		a.loading, a.asked, a.due = true, now, now.Add(q.every)
		cmds = append(cmds, m.fetch(q))
		if m.conn.err != nil || len(cmds) == maxAtOnce {
			break
		}
	}
	return tea.Batch(cmds...)
}

// maxAtOnce is how many queries are sent in one go; the others follow.
const maxAtOnce = 8

func (m *model) anyLoading() bool {
	for _, a := range m.answers {
		if a.loading {
			return true
		}
	}
	return false
}

// slow is how long an answer may take before it is said that it does.
const slow = 4 * time.Second

// waiting is for how long the server has not answered something.
func (m *model) waiting() time.Duration {
	var longest time.Duration
	for _, a := range m.answers {
		if a.loading {
			longest = max(longest, m.now().Sub(a.asked))
		}
	}
	return longest
}

func (m *model) fetch(q query) tea.Cmd {
	epoch, c, parent := m.epoch, m.client, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, queryTimeout)
		defer cancel()
		res, err := c.Call(ctx, q.args, api.Extra{Verbosity: 1}, nil)
		return answered{epoch, q.key(), res.Items, err}
	}
}

// take keeps an answer.
func (m *model) take(msg answered) tea.Cmd {
	a := m.answers[msg.key]
	if msg.epoch != m.epoch || a == nil {
		return nil // of another server, or nobody wants it any more
	}
	a.loading = false
	if unreachable(msg.err) {
		m.conn.failed(msg.err, m.now())
		return nil
	}
	back := m.conn.err != nil
	m.conn = connection{}
	m.denied = unauthorized(msg.err)
	a.items, a.err, a.at = msg.items, msg.err, m.now()
	if s, ok := m.screen().(receiver); ok {
		s.received(m, msg.key)
	}
	if back {
		m.hurry()
	}
	return m.poll()
}

// receiver is a screen that keeps something made of the answers.
type receiver interface{ received(m *model, key string) }

// hurry makes everything due.
func (m *model) hurry() {
	for _, a := range m.answers {
		a.due = time.Time{}
	}
}

// age returns how old the oldest answer on the screen is; ok is false when
// something has none yet.
func (m *model) age() (age time.Duration, ok bool) {
	ok = true
	for _, q := range m.screen().needs(m) {
		a := m.get(q.args...)
		if a == nil {
			ok = false
			continue
		}
		age = max(age, m.now().Sub(a.at))
	}
	return age, ok
}

// acted is the end of a command that changed something.
type acted struct {
	epoch int
	what  string
	items []api.Item
	err   error
}

// act runs a command that changes something, and says how it ended.
func (m *model) act(what string, args ...string) tea.Cmd {
	m.say(what + "…")
	m.busy++
	epoch, c, parent := m.epoch, m.client, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, actionTimeout)
		defer cancel()
		res, err := c.Call(ctx, args, api.Extra{Verbosity: 1}, nil)
		return acted{epoch, what, res.Items, err}
	}
}

func (m *model) ended(msg acted) tea.Cmd {
	if msg.epoch != m.epoch {
		return nil
	}
	m.busy--
	if unreachable(msg.err) {
		m.conn.failed(msg.err, m.now())
	}
	m.hurry()
	if msg.err != nil {
		m.fail(msg.what + ": " + msg.err.Error())
		return m.poll()
	}
	said := msg.what + ": done."
	for _, item := range msg.items {
		switch item.T {
		case api.KindError:
			m.fail(msg.what + ": " + item.Text)
			return m.poll()
		case api.KindSummary:
			said = strings.ToUpper(item.Text[:min(1, len(item.Text))]) + item.Text[min(1, len(item.Text)):]
		}
	}
	m.say(said)
	return m.poll()
}
