package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// watcher is somebody who looks at a screen.
type watcher struct {
	t        *testing.T
	keyboard *os.File
	tty      *os.File
	mu       sync.Mutex
	seen     bytes.Buffer
}

func watch(t *testing.T, rows, columns uint16) *watcher {
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{t: t, keyboard: keyboard, tty: tty}
	t.Cleanup(func() { keyboard.Close(); tty.Close() })
	if err := pty.Setsize(tty, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := keyboard.Read(buf)
			w.mu.Lock()
			w.seen.Write(buf[:n])
			w.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return w
}

func (w *watcher) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.String()
}

func (w *watcher) sees(what string) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(w.text(), what); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%q is not to be seen in %.2000q", what, w.text())
		}
	}
}

func (w *watcher) flags() uint32 {
	w.t.Helper()
	state, err := unix.IoctlGetTermios(int(w.tty.Fd()), unix.TCGETS)
	if err != nil {
		w.t.Fatal(err)
	}
	return state.Lflag
}

func TestTopAtATerminal(t *testing.T) {
	for _, key := range []string{"q", "\x03"} {
		w := watch(t, 8, 40)
		before := w.flags()
		calls := 0
		call := func(context.Context) (client.Result, error) {
			switch calls++; {
			case calls == 2:
				return client.Result{}, &client.Unreachable{Err: errors.New("the server is away")}
			case calls > 2:
				return client.Result{Items: []api.Item{api.Table([]string{"App", "Req/s"}, []any{"shop\x1b[2J", 7.5})}}, nil
			}
			var rows [][]any
			for range 20 {
				rows = append(rows, []any{"blog", "1.0"})
			}
			return client.Result{Items: []api.Item{api.Table([]string{"App", "Req/s", strings.Repeat("x", 100)}, rows...)}}, nil
		}
		s := &screen{out: w.tty, title: "hop3 top", interval: 10 * time.Millisecond}
		done := make(chan error)
		go func() { done <- s.run(t.Context(), w.tty, call) }()
		w.sees("shop[2J     7.5") // harmless
		w.sees("the server is away")
		if _, err := io.WriteString(w.keyboard, key); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("it ended with %v", err)
		}
		w.sees(leaveScreen)
		text := w.text()
		if !strings.HasPrefix(text, enterScreen+home+"hop3 top") || !strings.Contains(text, "more lines") || strings.Contains(text, strings.Repeat("x", 40)) || w.flags() != before {
			t.Errorf("%q: %.2000q, %x, not %x", key, text, w.flags(), before)
		}
	}
}

func TestTopEndsWithWhatTheServerRefuses(t *testing.T) {
	w := watch(t, 24, 80)
	refused := &client.Error{Message: "no"}
	s := &screen{out: w.tty, interval: time.Hour}
	if err := s.run(t.Context(), w.tty, func(context.Context) (client.Result, error) { return client.Result{}, refused }); !errors.Is(err, error(refused)) {
		t.Errorf("%v", err)
	}
	if w.text() != "" {
		t.Errorf("the screen was changed: %q", w.text())
	}
}

func TestTopIntervals(t *testing.T) {
	for text, want := range map[string]time.Duration{"1": time.Second, "0.5": 500 * time.Millisecond, "2s": 2 * time.Second, "1m": time.Minute, "0": 0, "0.1": 0, "-1": 0, "x": 0, "2h": 0} {
		if got, err := parseInterval(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
}

func TestTopColumns(t *testing.T) {
	got := numbers([]string{"App", "Req/s", "CPU"}, [][]any{{"blog", "100.5", "3.1%"}, {"a-long-name", "1.0", nil}})
	want := []string{"App           Req/s     CPU", "blog          100.5    3.1%", "a-long-name     1.0"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
