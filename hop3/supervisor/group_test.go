package supervisor

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
	"github.com/abilian/hop3/hop3/sandbox"
)

func TestGroupsGoWithTheirProcesses(t *testing.T) {
	box := openBox(t)
	s := openIn(t, t.TempDir(), box)
	defer s.Close()
	start(t, s, worker(t, "sleep 600", 2))
	groups := []string{"apps/shop/1", "apps/shop/1/worker.1", "apps/shop/1/worker.2"}
	exists := func(group string) bool {
		_, _, ok := box.Usage(group)
		return ok
	}
	for _, g := range groups {
		if !exists(g) {
			t.Errorf("while the release runs there is no %s", g)
		}
	}
	if err := s.Trim(t.Context(), shop, map[string]int{"worker": 1}, 0); err != nil {
		t.Fatal(err)
	}
	if exists(groups[2]) || !exists(groups[1]) {
		t.Errorf("after Trim, worker.1 has a group: %v, worker.2: %v", exists(groups[1]), exists(groups[2]))
	}
	stop(t, s)
	for _, g := range groups {
		if exists(g) {
			t.Errorf("after Stop there still is %s", g)
		}
	}
}

// TestOutOfMemoryWhileNoServerRan adopts nothing: what there was has needed
// more than its limit in between.
func TestOutOfMemoryWhileNoServerRan(t *testing.T) {
	box := openBox(t)
	dir, sign := t.TempDir(), filepath.Join(t.TempDir(), "go")
	s := openIn(t, dir, box)
	l := launch(t, worker(t, "until test -e "+sign+"; do sleep 0.01; done; exec tail /dev/zero", 1))
	l.Limits.Memory = 32 << 20
	before, err := s.Start(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has ended", func() bool {
		p, ok := procfs.Find(before[0].PID)
		return !ok || p.Dead
	})
	l.Processes[0].Command = "sleep 600"
	next := openIn(t, dir, box)
	defer next.Close()
	after, err := next.Start(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, next)
	if want := "out of memory (limit 32 MiB)"; after[0].LastExit != want || after[0].Restarts != 1 {
		t.Errorf("it was started again as %+v, want a last exit of %q", after[0], want)
	}
}

func TestEverythingAtTheSameTime(t *testing.T) {
	box := openBox(t)
	s := openIn(t, t.TempDir(), box)
	defer s.Close()
	l := launch(t, worker(t, "trap '' TERM; while :; do sleep 0.05; done", 3))
	l.Limits.Processes = 100
	var all sync.WaitGroup
	for n := range 24 {
		all.Go(func() {
			var err error
			switch n % 4 {
			case 0:
				_, err = s.Start(t.Context(), l)
			case 1:
				err = s.Stop(t.Context(), shop, 20*time.Millisecond)
			case 2:
				err = s.Trim(t.Context(), shop, map[string]int{"worker": n % 3}, 20*time.Millisecond)
			case 3:
				err = s.Restart(t.Context(), shop, "worker", 1+n%3, "why not", 20*time.Millisecond)
			}
			if err != nil && hop3.CodeOf(err) != hop3.CodeConflict {
				t.Error(err)
			}
		})
	}
	all.Wait()
	stop(t, s)
	if left := marked(t, s); len(left) > 0 {
		t.Errorf("after the last Stop these run: %v", left)
	}
}

func TestCloseEndsARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	i := start(t, s, worker(t, "trap 'echo asked' TERM; echo deaf; while :; do sleep 0.05; done", 1))[0]
	says := func(word string) {
		eventually(t, "it says "+word, func() bool {
			b, _ := os.ReadFile(i.LogFile)
			return strings.Contains(string(b), word)
		})
	}
	says("deaf")
	restarted := make(chan error, 1)
	go func() { restarted <- s.Restart(context.Background(), shop, "worker", 1, "why not", time.Hour) }()
	says("asked")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-restarted; !errors.Is(err, errClosed) {
		t.Errorf("Restart = %v, want %v", err, errClosed)
	}
	next := open(t, dir)
	defer next.Close()
	if list, err := next.Instances(t.Context(), shop); err != nil || len(list) != 1 || list[0].PID != i.PID || list[0].State != hop3.InstanceRunning {
		t.Errorf("after Close, Instances = %+v, %v, want %d to run", list, err, i.PID)
	}
	if err := next.Stop(t.Context(), shop, 0); err != nil {
		t.Error(err)
	}
}

// TestOneOffsEndWithTheirServer kills a server that runs a command.
func TestOneOffsEndWithTheirServer(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(exe)
	server.Env = append(os.Environ(), "SUPERVISOR_RUN="+dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	eventually(t, "the command runs", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return pid != 0
	})
	_ = server.Process.Kill()
	_ = server.Wait()
	if _, ok := procfs.Find(pid); !ok {
		t.Fatal("the command ended with the server already")
	}
	next := open(t, filepath.Join(dir, "run"))
	defer next.Close()
	if p, ok := procfs.Find(pid); ok && !p.Dead {
		t.Errorf("under the next server %+v still runs", p)
	}
}

// runOneOff is the server of that test.
func runOneOff(dir string) {
	s, err := New(Options{RunDir: filepath.Join(dir, "run")})
	if err != nil {
		panic(err)
	}
	l := hop3.Launch{ID: shop, Dir: dir}
	_, err = s.Run(context.Background(), l, hop3.OneOff{Shell: "echo $$ >pid; sleep 600 >/dev/null"})
	panic(err)
}

// openBox opens a sandbox, or skips the test where it limits nothing.
func openBox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	box, err := sandbox.Open(sandbox.Options{Home: t.TempDir(), Mode: sandbox.Off})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(box.Forget("shop"), box.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := box.Limits(); err != nil {
		t.Skipf("this needs limits: %v", err)
	}
	return box
}
