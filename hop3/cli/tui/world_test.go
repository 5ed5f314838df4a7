package tui

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

var update = flag.Bool("update", false, "write the golden screens anew")

// world is a model with a client of a server over HTTP, whose answers the test
// chooses. The real server is driven by the tests of the command line.
type world struct {
	*model
	t    *testing.T
	msgs chan tea.Msg

	mu      sync.Mutex
	answers map[string]any            // []api.Item or *api.Error, by the command line
	asked   []string                  // the command lines
	logs    chan string               // the lines of the log that is followed
	events  map[string]chan api.Event // those that are followed, by the app
	query   string                    // of the last stream of events
	time    time.Time
	down    bool
}

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{t: t, msgs: make(chan tea.Msg, 1000), answers: standard(), logs: make(chan string, 10), events: map[string]chan api.Event{"": make(chan api.Event, 10), "blog": make(chan api.Event, 10)}, time: noon}
	server := httptest.NewServer(w)
	t.Cleanup(func() {
		cancel()
		server.CloseClientConnections()
		server.Close()
	})
	dial := func() (Caller, error) { return client.New(client.Config{URL: server.URL, Token: "t"}) }
	w.model = newModel(ctx, Options{
		Servers: []Server{{"home (hop3.example.com)", dial}, {"work (hop3.example.org)", dial}},
		Parse: func(words []string, app string) (Command, error) {
			return Command{Args: words, Target: map[bool]string{true: app}[words[0] == "destroy"], Typed: true}, nil
		},
	})
	w.model.now = func() time.Time { return w.time }
	w.model.tick = func() tea.Cmd { return nil }
	if err := w.connect(0); err != nil {
		t.Fatal(err)
	}
	w.run(w.Init())
	w.settle()
	return w
}

// answer makes a what the server answers to a command line from now on.
func (w *world) answer(words string, a any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[words] = a
}

// ServeHTTP answers as a server would.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	down := w.down
	w.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	if strings.HasSuffix(r.URL.Path, "/logs/stream") {
		rw.Header().Set("Content-Type", "text/event-stream")
		for {
			select {
			case text := <-w.logs:
				data, _ := json.Marshal(api.LogEvent{Msg: text})
				fmt.Fprintf(rw, "event: log\ndata: %s\n\n", data)
				rw.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
	if r.URL.Path == "/api/events" {
		w.mu.Lock()
		w.query = r.URL.RawQuery
		w.mu.Unlock()
		rw.Header().Set("Content-Type", "text/event-stream")
		for {
			select {
			case e := <-w.events[r.URL.Query().Get("app")]:
				data, _ := json.Marshal(e)
				fmt.Fprintf(rw, "event: event\nid: %d\ndata: %s\n\n", e.ID, data)
				rw.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
	var req api.Request
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		w.t.Error(err)
	}
	words := strings.Join(req.Params.Args, " ")
	w.mu.Lock()
	w.asked = append(w.asked, words)
	answer := w.answers[words]
	w.mu.Unlock()
	out := map[string]any{"jsonrpc": "2.0", "id": req.ID}
	switch answer := answer.(type) {
	case nil:
		out["error"] = api.Error{Code: api.CodeUnknownCommand, Message: "Command '" + req.Params.Args[0] + "' not found"}
	case *api.Error:
		out["error"] = answer
	default:
		out["result"] = answer
	}
	if err := json.NewEncoder(rw).Encode(out); err != nil {
		w.t.Error(err)
	}
}

// run runs commands in the background, as Bubble Tea does.
func (w *world) run(cmd tea.Cmd) {
	if cmd != nil {
		go func() { w.msgs <- cmd() }()
	}
}

// until updates the model with what comes, until it is as it should be.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case msg := <-w.msgs:
			if batch, ok := msg.(tea.BatchMsg); ok {
				for _, cmd := range batch {
					w.run(cmd)
				}
			} else if msg != nil {
				w.run(w.update(msg))
			}
		case <-deadline:
			w.t.Fatalf("waiting until %s:\n%s", what, w.screenText())
		}
	}
}

// settle waits until everything that the screen shows is there.
func (w *world) settle() {
	w.t.Helper()
	w.until("all is loaded", func() bool {
		if len(w.msgs) > 0 || w.busy > 0 || w.anyLoading() {
			return false
		}
		_, complete := w.age()
		return complete
	})
}

// press presses keys: a name, or a text.
func (w *world) press(keys ...string) {
	for _, k := range keys {
		msg := tea.KeyPressMsg{}
		switch k {
		case "enter":
			msg.Code = tea.KeyEnter
		case "esc":
			msg.Code = tea.KeyEscape
		case "tab":
			msg.Code = tea.KeyTab
		case "space":
			msg.Code, msg.Text = ' ', " "
		case "down":
			msg.Code = tea.KeyDown
		case "ctrl+c":
			msg.Code, msg.Mod = 'c', tea.ModCtrl
		default:
			msg.Code, msg.Text = []rune(k)[0], k
		}
		w.run(w.update(msg))
	}
}

func (w *world) typeText(text string) {
	for _, r := range text {
		if r == ' ' {
			w.press("space")
		} else {
			w.press(string(r))
		}
	}
}

func (w *world) resize(width, height int) {
	w.run(w.update(tea.WindowSizeMsg{Width: width, Height: height}))
}

func (w *world) screenText() string { return ansi.Strip(w.window()) }

func (w *world) sees(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		if !strings.Contains(w.screenText(), text) {
			w.t.Errorf("%q is not on the screen:\n%s", text, w.screenText())
		}
	}
}

func (w *world) wasAsked(words string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.asked {
		if a == words {
			return true
		}
	}
	return false
}

func (w *world) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// golden compares the screen in both sizes with the files.
func (w *world) golden(name string) {
	w.t.Helper()
	for _, size := range [][2]int{{80, 24}, {120, 40}} {
		w.resize(size[0], size[1])
		got := w.screenText()
		lines := strings.Split(got, "\n")
		if len(lines) != size[1] {
			w.t.Errorf("%s has %d lines, not %d", name, len(lines), size[1])
		}
		for i, l := range lines {
			if n := ansi.StringWidth(l); n != size[0] {
				w.t.Errorf("%s, line %d is %d columns wide, not %d: %q", name, i, n, size[0], l)
			}
			lines[i] = strings.TrimRight(l, " ")
		}
		got = strings.Join(lines, "\n") + "\n"
		file := filepath.Join("testdata", fmt.Sprintf("%s-%dx%d.txt", name, size[0], size[1]))
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				w.t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		if got != string(want) {
			w.t.Errorf("%s is not as it was (-update writes it anew):\n%s", file, got)
		}
	}
	w.resize(80, 24)
}

// hostile is what an app may have written.
const hostile = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\x1b[2J \u202eevil\u202c 日本語 e\u0301\r\n\x9b31m"

// standard is what the server answers unless a test says otherwise.
func standard() map[string]any {
	row := func(cells ...any) []any { return cells }
	table := func(headers string, rows ...[]any) []api.Item {
		return []api.Item{api.Table(strings.Split(headers, "|"), rows...)}
	}
	history := "Release|Status|Kind|Commit|User|Created|Took|Description"
	blog := [][]any{
		row("v3", "live", "push", "1a2b3c4d", "ada", "2026-11-25 11:58:00", "2.1s", "Say hello in Japanese: 日本語"),
		row("v2", "failed", "push", "0a1b2c3d", "ada", "2026-11-25 11:40:00", "1.2s", "the health check answered 500"),
		row("v1", "retired", "push", "9f8e7d6c", "bob", "2026-11-24 09:00:00", "12s", "First version"),
	}
	shop := [][]any{row("v1", "live", "push", "5c6d7e8f", "bob", "2026-11-25 10:00:00", "3.4s", "Sell things")}
	return map[string]any{
		"app list":                      table("Name|Status|Instances", row("blog", "RUNNING", 3), row("old", "STOPPED", "-"), row("shop", "FAILED", "-")),
		"system info":                   []api.Item{api.Text("Version: 0.8.0"), api.Text("Apps: 3, at <app>.example.com")},
		"plugin list":                   table("Plugin|Provided Commands", row("hop3.toolchains.go", "builds Go"), row("hop3.toolchains.python", "builds Python")),
		"cert list":                     table("App|Domain|Type|Days left|Status", row("blog", "blog.example.com", "acme", "60", "valid until 2027-01-24, by R11"), row("shop", "shop.example.com", "acme", "6", "valid until 2026-12-01, by R11")),
		"releases --app blog":           table(history, blog...),
		"releases --app blog --lines 3": table(history, blog...),
		"releases --app shop --lines 3": table(history, shop...),
		"releases --app old --lines 3":  []api.Item{api.Text("App 'old' has no releases yet.")},
		"app status --app blog": table("Property|Value", row("Name", "blog"), row("Status", "RUNNING"), row("Release", "v3 (push 1a2b3c4d)"),
			row("Instances", "web 2, worker 1"), row("URL", "https://blog.example.com"), row("Note", "web.1 was started again once, the last time after: "+hostile)),
		"ps --app blog":                      table("Process Type|Count", row("web", "2"), row("worker", "1")),
		"env show --app blog":                append(table("Key|Value", row("COLOUR", "blue"), row("SECRET_KEY", "hunt***")), api.Text("Secrets are hidden; --show-secrets shows them.")),
		"env show --app blog --show-secrets": table("Key|Value", row("COLOUR", "blue"), row("SECRET_KEY", "hunter2hunter2")),
		"domain list --app blog":             table("Hostname", row("blog.example.com"), row("www.example.com")),
		"cert list --app blog":               table("App|Domain|Type|Days left|Status", row("blog", "blog.example.com", "acme", "60", "valid until 2027-01-24, by R11")),
		"cron list --app blog":               table("Entry|Schedule|Zone|Next run|Last run|Result|Command", row("nightly", "0 3 * * *", "UTC", "2026-11-26 03:00 UTC", "2026-11-25 03:00:00", "exit 0", "python manage.py tidy")),
		"help commands":                      []api.Item{api.Data(map[string]any{"commands": []string{"app list", "app status", "app stop", "env show", "system info"}})},
		"backup list":                        table("BACKUP ID|APP|SIZE|CREATED|STATUS|SERVICES", row("20261124_030000_a1b2c3", "blog", "12 MB", "2026-11-24 03:00:00", "COMPLETED", "postgres")),
	}
}
