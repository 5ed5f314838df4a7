package tui

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/abilian/hop3/hop3/api"
)

// learned is the server's list of commands.
type learned struct {
	epoch int
	words []string
}

// learnWords asks for the commands, for completion, when it is not known yet.
func (m *model) learnWords() tea.Cmd {
	if m.words != nil || m.conn.err != nil {
		return nil
	}
	m.words = []string{} // once
	epoch, c, parent := m.epoch, m.client, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, queryTimeout)
		defer cancel()
		res, err := c.Call(ctx, []string{"help", "commands"}, api.Extra{}, nil)
		if err != nil {
			return learned{epoch, nil} // completion is missing, nothing else
		}
		var words []string
		for _, item := range res.Items {
			object, _ := item.Data.(map[string]any)
			list, _ := object["commands"].([]any)
			for _, v := range list {
				if name, ok := v.(string); ok {
					words = append(words, line(name))
				}
			}
		}
		return learned{epoch, words}
	}
}

func (m *model) learn(msg learned) {
	if msg.epoch == m.epoch {
		m.words = msg.words
	}
}

// app is the one on the screen, "" for none.
func (m *model) app() string {
	for _, s := range slices.Backward(m.stack) {
		switch s := s.(type) {
		case *appPage:
			return s.app
		case *apps:
			return s.grid.name()
		}
	}
	return ""
}

// commandLine asks for a command.
func (m *model) commandLine() tea.Cmd {
	p := m.prompt(":", "", func(text string) tea.Cmd {
		words, err := split(text)
		if err != nil {
			m.fail(err.Error())
			return nil
		}
		if len(words) == 0 {
			return nil
		}
		m.history = append(m.history, text)
		return m.typed(words)
	})
	p.complete, p.history = m.complete, m.history
	return nil
}

// typed runs a command line as `hop3` would.
func (m *model) typed(words []string) tea.Cmd {
	if words[0] == "hop3" && len(words) > 1 {
		words = words[1:]
	}
	switch strings.Join(words, " ") {
	case "q", "quit", "exit":
		m.quitting = true
		return tea.Quit
	}
	c, err := m.options.Parse(words, m.app())
	if err != nil {
		m.fail(err.Error())
		return nil
	}
	run := func() tea.Cmd { return m.open(newOutput(strings.Join(words, " "), c)) }
	switch {
	case c.Target != "" && c.Typed:
		return m.confirmTyped("This destroys “"+line(c.Target)+"” with all that belongs to it. It cannot be undone.", c.Target, run)
	case c.Target != "":
		return m.confirm("This destroys “"+line(c.Target)+"” with all that belongs to it. It cannot be undone.", run)
	}
	return run()
}

// complete continues the last word: a command's, or behind --app an app's name.
func (m *model) complete(text string) string {
	head, last := "", text
	if i := strings.LastIndexByte(text, ' '); i >= 0 {
		head, last = text[:i+1], text[i+1:]
	}
	before := strings.Fields(head)
	var choices []string
	if n := len(before); n > 0 && (before[n-1] == "--app" || before[n-1] == "-a") {
		choices = m.appNames()
	} else {
		for _, name := range m.words {
			if rest, ok := strings.CutPrefix(name, strings.Join(append(before, last), " ")); ok {
				word, _, _ := strings.Cut(last+rest, " ")
				choices = append(choices, word)
			}
		}
		if len(before) > 0 {
			choices = append(choices, m.appNames()...)
			choices = append(choices, "--app")
		}
	}
	choices = slices.DeleteFunc(choices, func(c string) bool { return !strings.HasPrefix(c, last) })
	if len(choices) == 0 {
		return text
	}
	slices.Sort(choices)
	choices = slices.Compact(choices)
	common := choices[0]
	for _, c := range choices[1:] {
		for !strings.HasPrefix(c, common) {
			common = common[:len(common)-1]
		}
	}
	if len(choices) == 1 {
		common += " "
	} else {
		m.say(strings.Join(choices, "  "))
	}
	return head + common
}

func (m *model) appNames() []string {
	_, rows, _ := m.get("app", "list").table()
	var names []string
	for _, row := range rows {
		names = append(names, cell(row, 0))
	}
	return names
}

// split breaks a line into words: blanks part them, quotes and a backslash
// keep what is in them, as in a shell. Nothing is expanded.
func split(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	in, escaped := false, false
	for _, r := range text {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			in, escaped = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '"' || r == '\'':
			in, quote = true, r
		case r == ' ':
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		default:
			in = true
			word.WriteRune(r)
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// output shows what a typed command says, while it says it.
type output struct {
	text
	title   string
	command Command
	feed    *feed
	items   []api.Item
	ended   bool
	failed  bool
	took    time.Duration
	began   time.Time
}

func newOutput(title string, c Command) *output { return &output{title: title, command: c} }

// feed is the items of a command under way.
type feed struct {
	stop context.CancelFunc
	more chan struct{}

	mu    sync.Mutex
	items []api.Item
}

func (f *feed) add(items ...api.Item) {
	f.mu.Lock()
	f.items = append(f.items, items...)
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func (f *feed) take() []api.Item {
	f.mu.Lock()
	defer f.mu.Unlock()
	items := f.items
	f.items = nil
	return items
}

// outputMsg says that a feed has more, or has ended.
type outputMsg struct {
	feed  *feed
	ended bool
	err   error
}

func (s *output) start(m *model) tea.Cmd {
	if s.feed != nil {
		return nil // back from a page above it
	}
	ctx, stop := context.WithTimeout(m.ctx, actionTimeout)
	s.feed = &feed{stop: stop, more: make(chan struct{}, 1)}
	s.began = m.now()
	f, c, command := s.feed, m.client, s.command
	return tea.Batch(func() tea.Msg {
		return outputMsg{feed: f, ended: true, err: f.run(ctx, c, command)}
	}, f.wait(ctx))
}

// run runs a command and follows its stream, if it has one.
func (f *feed) run(ctx context.Context, c Caller, command Command) error {
	res, err := c.Call(ctx, command.Args, api.Extra{Verbosity: 1, Streaming: command.Streams}, nil)
	if err != nil {
		return err
	}
	n := len(res.Items)
	if n == 0 || res.Items[n-1].T != api.KindStream {
		f.add(res.Items...)
		return nil
	}
	f.add(res.Items[:n-1]...)
	end, err := c.FollowDeploy(ctx, res.Items[n-1].StreamID, func(l api.LogEvent) { f.add(api.Text("%s", l.Msg)) })
	if err == nil && !end.Success {
		err = errors.New(end.Error)
	}
	return err
}

func (f *feed) wait(ctx context.Context) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-f.more:
			return outputMsg{feed: f}
		case <-ctx.Done():
			return nil
		}
	}
}

// printed gives a message to the page it is for.
func (m *model) printed(msg outputMsg) tea.Cmd {
	for _, s := range m.stack {
		s, ok := s.(*output)
		if !ok || s.feed != msg.feed {
			continue
		}
		atEnd := s.scroll >= s.length-s.height
		s.items = append(s.items, msg.feed.take()...)
		if atEnd && !msg.ended {
			s.scroll = len(s.items) + s.length // view brings it back to the end
		}
		if !msg.ended {
			return msg.feed.wait(m.ctx)
		}
		msg.feed.stop()
		s.ended, s.took = true, m.now().Sub(s.began)
		if s.failed = msg.err != nil; s.failed {
			s.items = append(s.items, api.Failure("%s", msg.err.Error()))
		}
		m.hurry()
		return m.poll()
	}
	msg.feed.take()
	return nil
}

func (s *output) name() string { return ":" + line(s.title) }

func (s *output) needs(*model) []query { return nil }

func (s *output) view(m *model, w, h int) []string {
	lines := s.cut(itemLines(m, s.items, w), h-1)
	state := m.theme.warn.Render(" under way…")
	switch {
	case s.failed:
		state = m.theme.bad.Render(" failed after " + span(s.took))
	case s.ended:
		state = m.theme.dim.Render(" done in " + span(s.took))
	}
	return append(block(lines, w, h-1), state)
}

func (s *output) key(_ *model, key string) (tea.Cmd, bool) { return nil, s.text.key(key) }

func (s *output) click(*model, int, int) tea.Cmd { return nil }

func (s *output) wheel(_ *model, by int) tea.Cmd {
	s.scroll += by
	return nil
}

func (s *output) hints(*model) []hint { return []hint{{"↑↓", "scroll"}, {"Esc", "back"}} }
