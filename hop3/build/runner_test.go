package build_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/build"
	"github.com/abilian/hop3/hop3/hop3test"
)

func newRunner(t *testing.T) (*build.Runner, *hop3test.Lines) {
	t.Helper()
	lines := &hop3test.Lines{}
	return &build.Runner{Dir: t.TempDir(), Env: hop3.Env{"PATH": os.Getenv("PATH")}, Out: lines}, lines
}

func TestRunner_ShowsBothStreamsInOrder(t *testing.T) {
	r, lines := newRunner(t)
	if err := r.Run(t.Context(), hop3.Command{Shell: "echo one; echo two >&2; echo three"}); err != nil {
		t.Fatal(err)
	}
	if got, want := lines.String(), "       one\n       two\n       three\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunner_MakesOutputSafeForATerminal(t *testing.T) {
	r, lines := newRunner(t)
	long := strings.Repeat("x", 300_000)
	text := "\x1b[31mred\x1b[0m\n10%\r50%\r100%\r\n\x1b]0;title\x07bell\x07\n" + long + "\nend\xff\n"
	file := filepath.Join(r.Dir, "output")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context(), hop3.Command{Args: []string{"cat", "output"}}); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(lines.String(), "\n")
	want := []string{"red", "100%", "bell", "", "end\ufffd"}
	for i, w := range want {
		if i == 3 {
			if n := len(got[i]); n > 2100 {
				t.Errorf("a line of %d bytes was shown", n)
			}
			continue
		}
		if strings.TrimSpace(got[i]) != w {
			t.Errorf("line %d is %q, want %q", i, got[i], w)
		}
	}
}

func TestRunner_NamesTheCommandThatFailed(t *testing.T) {
	r, _ := newRunner(t)
	for _, c := range []struct {
		command hop3.Command
		want    string
	}{
		{hop3.Command{Shell: "exit 3"}, "the command `exit 3` failed: exit status 3"},
		{hop3.Command{Shell: "kill -9 $$"}, "signal: killed"},
		{hop3.Command{Args: []string{"no-such-program"}}, "no-such-program"},
	} {
		err := r.Run(t.Context(), c.command)
		if hop3.CodeOf(err) != hop3.CodeDeploy || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v", c.command, err)
		}
	}
	_, err := r.Output(t.Context(), hop3.Command{Shell: "echo because >&2; exit 1"})
	if err == nil || !strings.Contains(err.Error(), "because") {
		t.Errorf("Output: got %v", err)
	}
}

func TestRunner_EndsTheWholeGroupWithItsContext(t *testing.T) {
	r, lines := newRunner(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	pidFile := filepath.Join(r.Dir, "pid")
	ended := make(chan error, 1)
	go func() {
		ended <- r.Run(ctx, hop3.Command{Shell: "sleep 1000 & echo $! > pid.new; mv pid.new pid; wait"})
	}()
	pid := waitForPID(t, pidFile)
	cancel(errors.New("superseded"))
	err := <-ended
	if hop3.CodeOf(err) != hop3.CodeCanceled || !strings.Contains(err.Error(), "superseded") {
		t.Errorf("got %v\n%s", err, lines)
	}
	gone(t, pid)
}

func TestRunner_LeavesNothingRunning(t *testing.T) {
	r, _ := newRunner(t)
	if err := r.Run(t.Context(), hop3.Command{Shell: "sleep 1000 & echo $! > pid"}); err != nil {
		t.Fatal(err)
	}
	gone(t, waitForPID(t, filepath.Join(r.Dir, "pid")))
}

func TestRunner_DoesNotShareTheServersEnvironment(t *testing.T) {
	t.Setenv("HOP3_SECRET_KEY", "the server's")
	r, _ := newRunner(t)
	out, err := r.Output(t.Context(), hop3.Command{Args: []string{"env"}, Env: hop3.Env{"A": "1"}, Path: []string{"/first"}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "HOP3_SECRET_KEY") || !strings.Contains(out, "A=1") || !strings.Contains(out, "PATH=/first:") {
		t.Errorf("the environment is\n%s", out)
	}
}

func waitForPID(t *testing.T, file string) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(file)
		if pid, bad := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && bad == nil {
			return pid
		}
	}
	t.Fatalf("%s was not written", file)
	return 0
}

// gone waits until a process has ended. Where nobody reaps it, a zombie is all
// that may be left.
func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}
