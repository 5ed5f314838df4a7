package cgroup_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3/cgroup"
)

// role, when set, has this program play a process under limits instead of
// running tests.
const role = "HOP3_CGROUP_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "hog":
		hog()
	case "spin":
		for {
			_ = time.Now()
		}
	default:
		os.Exit(m.Run())
	}
}

// hog takes memory until it is ended.
func hog() {
	var all [][]byte
	for {
		page := make([]byte, 1<<20)
		for i := range page {
			page[i] = 1
		}
		all = append(all, page)
		fmt.Println(len(all))
	}
}

// newTree makes the groups of a server of this test's own.
func newTree(t *testing.T) *cgroup.Tree {
	t.Helper()
	tree, err := cgroup.Open(fmt.Sprintf("test-%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err != nil {
		t.Skipf("this machine lets us make no control groups: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := tree.Kill(ctx, ""); err != nil {
			t.Error(err)
		}
		if err := tree.Remove(""); err != nil {
			t.Error(err)
		}
	})
	return tree
}

func needs(t *testing.T, tree *cgroup.Tree, controller string) {
	t.Helper()
	for _, c := range tree.Missing() {
		if c == controller {
			t.Skipf("this machine has no %s controller", c)
		}
	}
}

// start starts cmd in a group.
func start(t *testing.T, tree *cgroup.Tree, group string, cmd *exec.Cmd) {
	t.Helper()
	place := tree.Place(group)
	started := make(chan error)
	go onThread(func() {
		if place.Unified {
			dir, err := place.Open()
			if err != nil {
				started <- err
				return
			}
			defer dir.Close()
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
		} else if err := tree.Join(group); err != nil {
			started <- err
			return
		}
		started <- cmd.Start()
	})
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// onThread calls f on a thread that ends with it. The main thread would not.
func onThread(f func()) {
	runtime.LockOSThread() // and never unlocked
	if syscall.Gettid() != os.Getpid() {
		f()
		return
	}
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

func self(t *testing.T, as string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{role + "=" + as, "GOMAXPROCS=1"}
	return cmd
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true: %s", what)
		}
	}
}

func TestTree_KillsAtTheMemoryLimitAndCounts(t *testing.T) {
	tree := newTree(t)
	needs(t, tree, cgroup.Memory)
	if err := tree.Make("apps/blog/1", cgroup.Limits{Memory: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := tree.Make("apps/blog/1/web.1", cgroup.Limits{}); err != nil {
		t.Fatal(err)
	}
	cmd := self(t, "hog")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, tree, "apps/blog/1/web.1", cmd)
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		last = lines.Text()
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.String(); got != "signal: killed" {
		t.Errorf("the hog ended by %q", got)
	}
	if n, _ := strconv.Atoi(last); n < 8 || n > 64 {
		t.Errorf("the hog got %s MB of 64", last)
	}
	for _, group := range []string{"apps/blog/1/web.1", "apps/blog/1", ""} {
		if u, err := tree.Usage(group); err != nil || u.OOMKills != 1 {
			t.Errorf("%q: got %+v, %v", group, u, err)
		}
	}
}

func TestTree_BoundsAForkBomb(t *testing.T) {
	tree := newTree(t)
	needs(t, tree, cgroup.Processes)
	if err := tree.Make("apps/a", cgroup.Limits{Processes: 30}); err != nil {
		t.Fatal(err)
	}
	// The shell gives up when it may not fork, and leaves what it started.
	for range 2 { // the limit is there again after the kill
		bomb := exec.Command("/bin/sh", "-c", "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done")
		start(t, tree, "apps/a", bomb)
		if err := bomb.Wait(); err == nil {
			t.Error("the bomb was not stopped")
		}
		if u, err := tree.Usage("apps/a"); err != nil || u.Processes < 20 || u.Processes > 30 {
			t.Errorf("got %+v, %v", u, err)
		}
		if err := tree.Kill(t.Context(), "apps/a"); err != nil {
			t.Fatal(err)
		}
		if pids, err := tree.Pids(""); err != nil || len(pids) != 0 {
			t.Errorf("left are %v, %v", pids, err)
		}
		eventually(t, "init has taken note of the dead, who count until then", func() bool {
			u, err := tree.Usage("apps/a")
			return err == nil && u.Processes == 0
		})
	}
}

func TestTree_KillsWhatHidesFromItsSession(t *testing.T) {
	tree := newTree(t)
	if err := tree.Make("apps/a/1", cgroup.Limits{}); err != nil {
		t.Fatal(err)
	}
	if err := tree.Make("apps/b/1", cgroup.Limits{}); err != nil {
		t.Fatal(err)
	}
	bystander := exec.Command("sleep", "1000")
	start(t, tree, "apps/b/1", bystander)
	start(t, tree, "apps/a/1", exec.Command("/bin/sh", "-c", "setsid env -i sleep 1000 & setsid env -i sleep 1000 & sleep 1000"))
	eventually(t, "four processes in the group", func() bool {
		pids, err := tree.Pids("apps/a")
		return err == nil && len(pids) >= 4
	})
	if err := tree.Kill(t.Context(), "apps/a"); err != nil {
		t.Fatal(err)
	}
	if pids, err := tree.Pids("apps"); err != nil || len(pids) != 1 || pids[0] != bystander.Process.Pid {
		t.Errorf("left are %v, %v; want only %d", pids, err, bystander.Process.Pid)
	}
	if err := tree.Remove("apps/a"); err != nil {
		t.Error(err)
	}
	if err := tree.Remove("apps/a"); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	if err := tree.Remove("apps"); err == nil {
		t.Error("a group with a process was removed")
	}
}

func TestTree_KillGivesUpWithItsContext(t *testing.T) {
	tree := newTree(t)
	if err := tree.Make("a", cgroup.Limits{}); err != nil {
		t.Fatal(err)
	}
	start(t, tree, "a", exec.Command("sleep", "1000"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// It may be quick enough to see it go.
	if err := tree.Kill(ctx, "a"); err != nil && !strings.Contains(err.Error(), "context canceled") {
		t.Error(err)
	}
	if err := tree.Kill(t.Context(), "not/there"); err != nil {
		t.Error(err)
	}
}

func TestTree_SharesTheCPU(t *testing.T) {
	tree := newTree(t)
	needs(t, tree, cgroup.CPU)
	for group, l := range map[string]cgroup.Limits{"a": {Weight: 1000}, "b": {Weight: 10}, "c": {CPU: 0.05}} {
		if err := tree.Make(group, l); err != nil {
			t.Fatal(err)
		}
		for range runtime.NumCPU() {
			start(t, tree, group, self(t, "spin"))
		}
	}
	used := func(group string) time.Duration {
		u, err := tree.Usage(group)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.CPU)
	}
	eventually(t, "the heavy group has used a second", func() bool { return used("a") > time.Second })
	if a, b := used("a"), used("b"); b > a*3/4 {
		t.Errorf("with a hundredth of the weight, %v were used beside %v", b, a)
	}
	if a, c := used("a"), used("c"); c > a {
		t.Errorf("with a twentieth of a core, %v were used beside %v", c, a)
	}
}

func TestTree_RefusesNamesThatLeadOut(t *testing.T) {
	tree := newTree(t)
	for _, name := range []string{"..", "../x", "/x", "a/../..", "a//b", "a/", ".", "a\nb"} {
		if err := tree.Make(name, cgroup.Limits{}); err == nil {
			t.Errorf("%q was made", name)
		}
		if err := tree.Remove(name); err == nil {
			t.Errorf("%q was removed", name)
		}
	}
}

func TestPlace_OfAnotherVersionIsRefused(t *testing.T) {
	if _, err := (cgroup.Place{Dirs: []string{t.TempDir()}}).Open(); err == nil {
		t.Error("a v1 group was opened to start processes in")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (cgroup.Place{Unified: true, Dirs: []string{dir}}).Join(); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs")); string(text) != "0" {
		t.Errorf("joined by writing %q", text)
	}
}
