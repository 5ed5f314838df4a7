package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/logfile"
	"github.com/abilian/hop3/hop3/sandbox"
)

// TestRuntimeWithLauncher has another program start the instances, which
// starts them again by itself.
func TestRuntimeWithLauncher(t *testing.T) {
	hop3test.Runtime(t, func(t testing.TB, home string, box *sandbox.Sandbox) hop3.Runtime {
		return openLaunched(t, home, box)
	})
}

func TestAdoptsWhatTheParentReplaced(t *testing.T) {
	home := t.TempDir()
	s := openLaunched(t, home, nil)
	l := launch(t, hop3.Process{Type: "worker", Command: "sleep 600", Count: 1})
	before, err := s.Start(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.familyOf(s.held(shop)[0].record()).terminate(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the parent has started it again", func() bool {
		found := marked(t, s)
		return len(found) == 1 && found[0].PID != before[0].PID
	})
	want := marked(t, s)[0].PID

	next := openLaunched(t, home, nil)
	defer next.Close()
	after, err := next.Start(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, next)
	if after[0].PID != want || after[0].Restarts != 1 || after[0].LastExit != "signal: terminated" {
		t.Errorf("process %d was adopted as %+v", want, after[0])
	}
}

func TestNativeRefusesWhatNeedsUWSGI(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	l := launch(t, hop3.Process{Type: hop3.ProcessJWSGI, Module: "com.example.App", Count: 1})
	_, err := s.Start(t.Context(), l)
	if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "uWSGI") {
		t.Errorf("Start = %v", err)
	}
	l.Processes[0].Command = "exec sleep 600"
	i, err := s.Start(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	if i[0].Upstream == "" {
		t.Errorf("%+v has no upstream", i[0])
	}
}

// openLaunched opens a supervisor whose instances are children of a parent
// that the test ends.
func openLaunched(t testing.TB, home string, box *sandbox.Sandbox) *Supervisor {
	t.Helper()
	dir := filepath.Join(home, "parent")
	if err := os.Mkdir(dir, 0o700); err == nil {
		startParent(t, dir)
	}
	s, err := New(Options{
		Name: "parent", RunDir: filepath.Join(home, "run"), Sandbox: box, Launcher: &parentLauncher{dir: dir},
		Backoff: Backoff{Min: 10 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startParent(t testing.TB, dir string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "SUPERVISOR_PARENT="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		left, _ := filepath.Glob(sockets(dir) + "*")
		for _, file := range left {
			_ = os.Remove(file)
		}
	})
}

// parentLauncher tells the parent by files what to start.
type parentLauncher struct{ dir string }

func (l *parentLauncher) file(c Child, suffix string) string {
	return filepath.Join(l.dir, fmt.Sprintf("%d-%s.%d", c.ID.Number, c.Process.Type, c.Ordinal)+suffix)
}

func (l *parentLauncher) Socket(c Child) string {
	if c.Launch.AppDir != "" {
		return "" // in its own place it would be out of reach
	}
	return fmt.Sprintf("%s-%d-%s.%d", sockets(l.dir), c.ID.Number, c.Process.Type, c.Ordinal)
}

// sockets is what the names of the sockets begin with: such a name is short.
func sockets(dir string) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("hop3-%08x", crc32.ChecksumIEEE([]byte(dir))))
}

func (l *parentLauncher) Launch(ctx context.Context, c Child) (int, error) {
	for _, suffix := range []string{".pid", ".error", ".exit"} {
		_ = os.Remove(l.file(c, suffix))
	}
	if c.Socket != "" {
		c.Env = append(c.Env, "SOCKET="+c.Socket)
	}
	order, err := json.Marshal(order{Argv: c.Argv, Env: c.Env, Dir: c.Launch.Dir, LogFile: c.LogFile, Plan: c.Plan})
	if err == nil {
		err = replaceFile(l.file(c, ".json"), order)
	}
	if err != nil {
		return 0, err
	}
	for ctx.Err() == nil {
		if b, err := os.ReadFile(l.file(c, ".pid")); err == nil {
			return strconv.Atoi(string(b))
		}
		if b, err := os.ReadFile(l.file(c, ".error")); err == nil {
			return 0, errors.New(string(b))
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, ctx.Err()
}

func (l *parentLauncher) Find(c Child) (int, bool) {
	b, err := os.ReadFile(l.file(c, ".pid"))
	pid, _ := strconv.Atoi(string(b))
	return pid, err == nil && pid != 0
}

func (l *parentLauncher) Forget(ctx context.Context, c Child) error {
	if err := os.Remove(l.file(c, ".json")); err != nil {
		return nil
	}
	for ctx.Err() == nil {
		if _, err := os.Stat(l.file(c, ".pid")); err != nil {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return ctx.Err()
}

func (l *parentLauncher) Exit(c Child) string {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if b, err := os.ReadFile(l.file(c, ".exit")); err == nil {
			return string(b)
		}
	}
	return "unknown"
}

// order is what the parent is to start, again and again.
type order struct {
	Argv, Env    []string
	Dir, LogFile string
	Plan         *sandbox.Plan
}

// parent is the program of these tests that starts what it finds orders for in
// dir, and starts it again when it ends. What is no order any more it forgets.
func parent(dir string) {
	time.AfterFunc(5*time.Minute, func() { os.Exit(9) })
	running := make(map[string]int) // order -> its run, 0 when it ended
	ended := make(chan run)
	for n := 1; ; n++ {
		orders, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		there := make(map[string]bool)
		for _, file := range orders {
			name := strings.TrimSuffix(file, ".json")
			if there[name] = true; running[name] == 0 && carryOut(run{name, n}, ended) {
				running[name] = n
			}
		}
		for name := range running {
			if !there[name] {
				delete(running, name)
				_ = os.Remove(name + ".pid")
			}
		}
		select {
		case r := <-ended:
			if running[r.name] == r.number { // still an order
				running[r.name] = 0
			}
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// run is one run of an order.
type run struct {
	name   string
	number int
}

func carryOut(r run, ended chan<- run) bool {
	name := r.name
	var o order
	b, err := os.ReadFile(name + ".json")
	if err != nil || json.Unmarshal(b, &o) != nil {
		return false
	}
	log, err := logfile.Open(o.LogFile)
	if err != nil {
		return false
	}
	defer log.Close()
	// A process of its own takes on the place: who kills what is there must
	// not find the parent's thread in it.
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = []string{"SUPERVISOR_ORDER=1"}, bytes.NewReader(b), log, log
	result, told, err := os.Pipe()
	if err != nil {
		return false
	}
	defer result.Close()
	cmd.ExtraFiles = []*os.File{told}
	err = cmd.Start()
	_ = told.Close()
	if err != nil {
		_ = replaceFile(name+".error", []byte(err.Error()))
		return true
	}
	if why, _ := io.ReadAll(result); len(why) > 0 {
		_ = cmd.Wait()
		_ = replaceFile(name+".error", why)
		return true
	}
	_ = replaceFile(name+".pid", []byte(strconv.Itoa(cmd.Process.Pid)))
	go func() {
		_ = cmd.Wait()
		_ = replaceFile(name+".exit", []byte(cmd.ProcessState.String()))
		ended <- r
	}()
	return true
}

// become turns this process into what the order on its standard input says. By
// descriptor 3 it tells why that failed.
func become() {
	syscall.CloseOnExec(3)
	var o order
	err := json.NewDecoder(os.Stdin).Decode(&o)
	null, openErr := os.Open(os.DevNull)
	if err = errors.Join(err, openErr); err == nil {
		err = syscall.Dup2(int(null.Fd()), 0)
	}
	if err == nil {
		err = o.Plan.ExecIn(o.Dir, o.Argv, o.Env)
	}
	fmt.Fprintln(os.NewFile(3, "result"), err)
	os.Exit(1)
}
