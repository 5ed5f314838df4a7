package ready

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestWaitTellsWorkersThatCrash(t *testing.T) {
	// Its main process never ends: it starts what crashes again.
	release := start(t, process("web", "respawn", 1))
	err := release.wait(t.Context(), time.Minute)
	wantDeployError(t, err, "web.1 crashes again and again: DAMN ! worker 1 died, killed by signal 11")
	if !strings.Contains(release.said(), "no module named shop") {
		t.Errorf("the app's log was not shown, but %q", release.said())
	}
}

func TestSignalsOfBefore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.1.log")
	write := func(flags int, text string) {
		t.Helper()
		f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|flags, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write(0, strings.Repeat("Segmentation fault\n", 10))
	s := watchSignals(file)
	s.look(file)
	if s.count != 0 {
		t.Errorf("what was there before counts %d times", s.count)
	}
	write(os.O_APPEND, "ok\nSegmentation fault\nhop3: web.1 (v1) ended: signal: segmentation fault; starts again in 100ms\n")
	s.look(file)
	write(os.O_TRUNC, "Fatal error: no database\n") // rotated
	s.look(file)
	if s.count != 2 || s.last != "Fatal error: no database" {
		t.Errorf("%d signs, the last one %q", s.count, s.last)
	}
}

func TestRanOut(t *testing.T) {
	i := hop3.Instance{Type: "web", Ordinal: 1}
	for exit, want := range map[string]string{
		"":                              "",
		"exit status 1":                 "",
		"out of memory":                 "web.1 ran out of memory",
		"out of memory (limit 64 MiB)":  "web.1 ran out of memory, its limit is 64 MiB",
		"out of memory (limit 1.5 GiB)": "web.1 ran out of memory, its limit is 1.5 GiB",
	} {
		i.LastExit = exit
		err := ranOut(i)
		if want == "" && err != nil || want != "" && (err == nil || hop3.MessageOf(err) == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("after %q: %v, want %q", exit, err, want)
		}
	}
}

// TestWaitTellsOutOfMemory is a crash loop for want of memory, and one that
// the deadline interrupts.
func TestWaitTellsOutOfMemory(t *testing.T) {
	restarts := 0
	release := &started{}
	release.Instances = func(context.Context) ([]hop3.Instance, error) {
		restarts++
		return []hop3.Instance{{
			Type: "worker", Ordinal: 1, State: hop3.InstanceBackoff, Restarts: restarts, LastExit: "out of memory (limit 64 MiB)",
		}}, nil
	}
	wantDeployError(t, release.wait(t.Context(), time.Minute), "worker.1 ran out of memory, its limit is 64 MiB", "[limits]")
	wantDeployError(t, release.wait(t.Context(), time.Nanosecond), "worker.1 ran out of memory, its limit is 64 MiB", "[limits]")
}

func TestDiagnoseSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "ready") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	i := hop3.Instance{Type: "web", Ordinal: 1, PID: startProgram(t, "sleep"), State: hop3.InstanceRunning, Upstream: "unix/" + socket}
	if got, want := diagnose(i), fmt.Sprintf("web.1 does not listen on its socket %s.", socket); got != want {
		t.Errorf("diagnose = %q, want %q", got, want)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := diagnose(i); got != "" {
		t.Errorf("when somebody listens there, diagnose = %q", got)
	}
}

func TestPauseIsNoLongerThanTheInterval(t *testing.T) {
	g := &gate{timeout: time.Hour, began: time.Now().Add(-10 * time.Minute)}
	for interval, want := range map[time.Duration]time.Duration{0: maxPause, 50 * time.Millisecond: 50 * time.Millisecond, time.Minute: 30 * time.Second} {
		g.Health.Interval = interval
		if got := g.pause(); got < want || got > want+time.Second {
			t.Errorf("with an interval of %s the pause is %s, want %s", interval, got, want)
		}
	}
}
