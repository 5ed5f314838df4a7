package tui

import (
	"image/color"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/abilian/hop3/hop3/api"
)

// TestScreens compares every screen with how it looked when somebody looked.
func TestScreens(t *testing.T) {
	w := newWorld(t)
	w.golden("dashboard")
	w.press("a")
	w.settle()
	w.golden("apps")
	w.press("enter")
	w.settle()
	w.golden("overview")
	for _, tab := range []string{"2", "3", "4", "5", "7"} {
		w.press(tab)
		w.settle()
		page := w.screen().(*appPage)
		w.golden(strings.ToLower(page.tabs[page.tab].name()))
	}
	w.press("D")
	w.golden("destroy")
	w.press("esc", "?")
	w.golden("help")
	w.press("esc")
	w.run(w.show(newSystem()))
	w.settle()
	w.golden("system")
	w.press("o")
	w.settle()
	w.golden("addons")
	w.press("b")
	w.settle()
	w.golden("backups")
	w.press("x")
	w.golden("servers")
}

func TestLogs(t *testing.T) {
	w := newWorld(t)
	w.run(w.open(newAppPage("blog").at("Logs")))
	w.logs <- "2026-11-25T11:59:58.000Z web.1 | " + hostile
	w.logs <- "2026-11-25T11:59:59.000Z worker.1 | tick"
	w.until("both lines are there", func() bool { return strings.Contains(w.screenText(), "tick") })
	w.settle()
	w.golden("logs")

	w.press("/")
	w.typeText("TICK")
	w.press("enter")
	w.sees("only “TICK”", "tick")
	if strings.Contains(w.screenText(), "web.1") {
		t.Errorf("the filter lets everything through:\n%s", w.screenText())
	}
	w.press("space")
	w.logs <- "tick two"
	w.until("the line is counted", func() bool { return strings.Contains(w.screenText(), "paused, 1 new") })
	if strings.Contains(w.screenText(), "tick two") {
		t.Errorf("what is paused goes on:\n%s", w.screenText())
	}
	w.press("space")
	w.sees("following", "tick two")
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	w.press("v")
	w.events[""] <- api.Event{ID: 1, Time: "2026-11-25T11:58:00Z", Kind: "deploy.succeeded", Actor: "ada", App: "blog", Message: "v3 is live: " + hostile}
	w.events[""] <- api.Event{ID: 2, Time: "2026-11-25T11:59:00Z", Kind: "login.failed", Message: "a wrong password"}
	w.until("both are there", func() bool { return strings.Contains(w.screenText(), "wrong password") })
	w.settle()
	w.golden("events")
	w.press("/")
	w.typeText("blog")
	w.press("enter")
	w.sees("only “blog”", "v3 is live")
	if strings.Contains(w.screenText(), "wrong password") {
		t.Errorf("the filter lets everything through:\n%s", w.screenText())
	}

	w.press("esc", "a")
	w.settle()
	w.press("enter", "v")
	w.events["blog"] <- api.Event{ID: 3, Time: "2026-11-25T11:59:30Z", Kind: "app.restarted", App: "blog", Message: "once more"}
	w.until("it is there", func() bool { return strings.Contains(w.screenText(), "once more") })
	w.sees("blog › Events", "following")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.query != "app=blog&lines=500" {
		t.Errorf("followed were the events of %s", w.query)
	}
}

func TestLogsAreBounded(t *testing.T) {
	s := newLogs("blog")
	for range 3 {
		s.append(slices.Repeat([]string{"line"}, maxLogLines))
	}
	tail := &tail{more: make(chan struct{}, 1)}
	for range maxLogLines + 7 {
		tail.add("line")
	}
	if lines := tail.take(); len(s.lines) != maxLogLines || len(lines) != maxLogLines+1 || !strings.Contains(lines[0], "7 lines") {
		t.Errorf("%d lines are kept, and %d wait, first %q", len(s.lines), len(lines), lines[0])
	}
}

// TestDisconnected is a server that goes away and comes back.
func TestDisconnected(t *testing.T) {
	w := newWorld(t)
	w.press("a")
	w.settle()
	w.setDown(true)
	w.time = w.time.Add(10 * time.Second)
	w.run(w.update(tick{}))
	w.until("it is noticed", func() bool { return w.conn.err != nil && !w.anyLoading() })
	w.sees("Disconnected", "stale, 10 s old", "blog") // what was seen stays
	wait := w.conn.retry.Sub(w.time)
	for range 3 {
		w.time = w.conn.retry
		failures := w.conn.failures
		w.run(w.update(tick{}))
		w.until("it is tried again", func() bool { return w.conn.failures > failures })
	}
	if longer := w.conn.retry.Sub(w.time); longer <= wait {
		t.Errorf("it is tried after %s at first, then after %s", wait, longer)
	}
	if w.run(w.update(tick{})); w.anyLoading() {
		t.Error("it is tried before its time")
	}
	w.setDown(false)
	w.press("R")
	w.until("it is back", func() bool { return w.conn.err == nil })
	w.settle()
	if strings.Contains(w.screenText(), "Disconnected") || strings.Contains(w.screenText(), "stale") {
		t.Errorf("it is still said to be away:\n%s", w.screenText())
	}
}

// TestNothingWaitsForTheNetwork presses keys while no answer comes.
func TestSlowServer(t *testing.T) {
	w := newWorld(t)
	w.press("a")
	w.settle()
	w.time = w.time.Add(10 * time.Second)
	_ = w.update(tick{}) // the answers to it never come
	w.time = w.time.Add(5 * time.Second)
	w.sees("the server is slow: 15 s old")
	w.press("down")
	if w.screen().(*apps).grid.name() != "old" {
		t.Error("a key waits for the server")
	}
}

func TestActions(t *testing.T) {
	done := []api.Item{api.Text("Done."), api.Summary("did it to blog.")}
	for _, c := range []struct {
		tab  string
		keys []string
		want string
	}{
		{"1", []string{"s", "y"}, "app stop --app blog"},
		{"1", []string{"r", "y"}, "app restart --app blog"},
		{"1", []string{"X", "y"}, "deploy cancel --app blog"},
		{"1", []string{"D", "b", "l", "o", "g", "enter"}, "app destroy --app blog"},
		{"2", []string{"+"}, "ps scale --app blog web=3"},
		{"2", []string{"-"}, "ps scale --app blog web=1"},
		{"2", []string{"down", "-", "y"}, "ps scale --app blog worker=0"},
		{"3", []string{"down", "down", "u", "y"}, "rollback --app blog v1"},
		{"4", []string{"a", "A", "=", "b", "enter"}, "env set --app blog A=b"},
		{"4", []string{"e", "r", "enter"}, "env set --app blog COLOUR=r"},
		{"4", []string{"d", "y"}, "env unset --app blog COLOUR"},
		{"5", []string{"a", "x", ".", "y", "enter"}, "domain add --app blog x.y"},
		{"5", []string{"d", "y"}, "domain remove --app blog blog.example.com"},
		{"7", []string{"n", "y"}, "cron run --app blog nightly"},
	} {
		w := newWorld(t)
		w.answer(c.want, done)
		w.run(w.open(newAppPage("blog")))
		w.settle()
		w.press(c.tab)
		w.settle()
		w.press(c.keys...)
		w.until(c.want+" has ended", func() bool { return w.busy == 0 && strings.Contains(w.screenText(), "Did it to blog.") })
		if !w.wasAsked(c.want) {
			t.Errorf("%v asked for %q", c.keys, w.asked)
		}
	}
}

// TestRefusals does nothing unless it is confirmed.
func TestRefusals(t *testing.T) {
	for _, keys := range [][]string{{"s", "n"}, {"s", "enter"}, {"s", "esc"}, {"D", "b", "l", "o", "enter"}, {"D", "enter"}, {"D", "esc"}} {
		w := newWorld(t)
		w.run(w.open(newAppPage("blog")))
		w.settle()
		w.press(keys...)
		if w.busy > 0 {
			t.Errorf("%v does something", keys)
		}
	}
}

func TestFailure(t *testing.T) {
	w := newWorld(t)
	w.answer("app start --app old", &api.Error{Code: 409, Message: "App 'old' is being deployed."})
	w.press("a")
	w.settle()
	w.press("down", "s")
	w.until("it has failed", func() bool { return w.saidBad })
	w.sees("App 'old' is being deployed.")
}

func TestNotLoggedIn(t *testing.T) {
	w := newWorld(t)
	w.answer("app list", &api.Error{Code: 401, Message: "Authentication required."})
	w.press("a")
	w.run(w.refresh())
	w.until("it is noticed", func() bool { return w.denied })
	w.sees("hop3 login")
}

func TestSecrets(t *testing.T) {
	w := newWorld(t)
	w.run(w.open(newAppPage("blog").at("Env")))
	w.settle()
	w.press("t")
	w.settle()
	w.sees("hunter2hunter2")
	w.press("1") // leaves
	w.settle()
	w.press("4")
	w.settle()
	if strings.Contains(w.screenText(), "hunter2hunter2") || w.get("env", "show", "--app", "blog", "--show-secrets") != nil {
		t.Errorf("a secret stays:\n%s", w.screenText())
	}
}

func TestAppList(t *testing.T) {
	w := newWorld(t)
	w.press("a")
	w.settle()
	w.press("/")
	w.typeText("SHO")
	w.press("enter")
	s := w.screen().(*apps)
	if len(s.grid.shown) != 1 || s.grid.name() != "shop" {
		t.Errorf("the filter shows %v", s.grid.shown)
	}
	w.press("/", "esc", "t", "t") // by name, downwards
	if s.grid.shown[0][0] != "shop" {
		t.Errorf("sorted are %v", s.grid.shown)
	}
	w.run(w.update(tea.MouseClickMsg{X: 3, Y: 2 + 1 + 2, Button: tea.MouseLeft}))
	if s.grid.name() != "blog" {
		t.Errorf("the click chose %q", s.grid.name())
	}
	w.run(w.update(tea.MouseWheelMsg{Button: tea.MouseWheelUp}))
	if s.grid.name() != "shop" {
		t.Errorf("the wheel chose %q", s.grid.name())
	}
	w.run(w.update(tea.MouseClickMsg{X: 8, Y: 0, Button: tea.MouseLeft}))
	if w.screen().name() != "Dashboard" {
		t.Errorf("a click in the header shows %s", w.screen().name())
	}
}

func TestCommandLine(t *testing.T) {
	w := newWorld(t)
	w.until("the commands are known", func() bool { return len(w.words) > 0 })
	w.press("a")
	w.settle()
	w.press(":")
	w.typeText("app stat")
	w.press("tab")
	w.typeText("--app bl")
	w.press("tab", "enter")
	w.until("it is answered", func() bool {
		s, ok := w.screen().(*output)
		return ok && s.ended
	})
	if !w.wasAsked("app status --app blog ") && !w.wasAsked("app status --app blog") {
		t.Errorf("asked was %q", w.asked)
	}
	w.sees("web 2, worker 1")
	w.press("esc")
	w.settle()
	w.press(":")
	w.typeText("destroy")
	w.press("enter")
	w.sees("Type “blog” to confirm")
}

func TestSplit(t *testing.T) {
	got, err := split(`env  set A="b c" 'd\e' f\ g ""`)
	if want := []string{"env", "set", "A=b c", `d\e`, "f g", ""}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := split(`a "b`); err == nil {
		t.Error("an open quote is fine")
	}
}

// TestSizes draws every screen in sizes nobody has.
func TestSizes(t *testing.T) {
	w := newWorld(t)
	screens := []screen{newDashboard(), newApps(), newAppPage("blog"), newAppPage("blog").at("Env"), newSystem(), newAddons(), newBackups(), newHelp("x", everywhere)}
	for _, s := range screens {
		w.run(w.show(s))
		w.settle()
		for _, size := range [][2]int{{1, 1}, {0, 0}, {40, 10}, {41, 11}, {79, 23}, {300, 100}, {40, 200}} {
			w.resize(size[0], size[1])
			if got := strings.Count(w.window(), "\n") + 1; size[0] >= minW && size[1] >= minH && got != size[1] {
				t.Errorf("%s in %v has %d lines", s.name(), size, got)
			}
		}
	}
}

func TestSwitchServer(t *testing.T) {
	w := newWorld(t)
	w.press("x", "down", "enter")
	w.settle()
	w.sees("work (hop3.example")
}

func TestQuit(t *testing.T) {
	for _, key := range []string{"q", "ctrl+c"} {
		w := newWorld(t)
		w.press(key)
		w.until("it leaves", func() bool { return w.quitting })
	}
}

func TestClean(t *testing.T) {
	got := line(hostile)
	if strings.ContainsAny(got, "\x1b\x07\r\n\u202e\u202c\u009b") || !strings.Contains(got, "evil 日本語 e\u0301") {
		t.Errorf("%q", got)
	}
}

func TestInput(t *testing.T) {
	in := newInput(": ", "ab")
	in.insert("c\x1b\nd")
	if in.value() != "abc d" {
		t.Errorf("%q", in.value())
	}
	in.key(tea.KeyPressMsg{Code: 'w', Mod: tea.ModCtrl})
	in.key(tea.KeyPressMsg{Code: tea.KeyLeft})
	in.key(tea.KeyPressMsg{Code: tea.KeyBackspace})
	if in.value() != "ab " {
		t.Errorf("%q", in.value())
	}
}

// TestBackground is that dark and light terminals get colours of their own.
func TestBackground(t *testing.T) {
	w := newWorld(t)
	dark := w.window()
	w.run(w.update(tea.BackgroundColorMsg{Color: color.White}))
	light := w.window()
	if dark == light || ansi.Strip(dark) != ansi.Strip(light) {
		t.Error("the background changes nothing, or more than colours")
	}
}
