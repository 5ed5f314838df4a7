package hop3test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
)

func restartsWhatEnded(t *runtimeTest) {
	first := t.start(t.launch(1, web(program("server"))))[0]
	t.get(first, "/pid")
	t.kill(first.PID)
	second := t.await("it runs again", func(i hop3.Instance) bool { return i.State == hop3.InstanceRunning && i.PID != first.PID })
	if second.Restarts != 1 || second.LastExit != "signal: killed" {
		t.Errorf("after a kill: restarts %d, last exit %q", second.Restarts, second.LastExit)
	}
	t.get(second, "/pid")
	t.tryGet(second, "/exit?3")
	third := t.await("it runs again", func(i hop3.Instance) bool { return i.State == hop3.InstanceRunning && i.PID != second.PID })
	if third.Restarts != 2 || third.LastExit != "exit status 3" {
		t.Errorf("after exit 3: restarts %d, last exit %q", third.Restarts, third.LastExit)
	}
}

func keepsTheUpstream(t *runtimeTest) {
	first := t.start(t.launch(1, web(program("server"))))[0]
	t.kill(first.PID)
	second := t.await("it runs again", func(i hop3.Instance) bool { return i.State == hop3.InstanceRunning && i.PID != first.PID })
	if second.Upstream != first.Upstream {
		t.Errorf("the upstream moved from %s to %s", first.Upstream, second.Upstream)
	}
	t.get(second, "/pid")
}

func asksBeforeItKills(t *runtimeTest) {
	i := t.start(t.launch(1, web(program("server"))))[0]
	t.get(i, "/pid")
	t.stop(i1, time.Minute)
	if !strings.Contains(t.log(i), "asked to end") {
		t.Errorf("the process got no SIGTERM; its log: %s", t.log(i))
	}
	if runs(i.PID) {
		t.Errorf("process %d still runs", i.PID)
	}
	if left, err := t.Runtime.Instances(t.Context(), i1); err != nil || len(left) > 0 {
		t.Errorf("after Stop, Instances = %v, %v", left, err)
	}
	if got := t.releases(); len(got) > 0 {
		t.Errorf("after Stop, Releases = %v", got)
	}
}

func killsTheStubborn(t *runtimeTest) {
	proc := web(program("stubborn"))
	proc.Count = 3
	all := t.start(t.launch(1, proc))
	for _, i := range all {
		t.get(i, "/pid")
	}
	const grace = 500 * time.Millisecond
	began := time.Now()
	t.stop(i1, grace)
	if took := time.Since(began); took < grace || took > 2*grace+3*time.Second {
		t.Errorf("stopping three at once took %s, with a grace of %s", took, grace)
	}
	for _, i := range all {
		if runs(i.PID) {
			t.Errorf("process %d still runs", i.PID)
		}
	}
	// With a context that ends, the grace is cut short, and all are stopped.
	i := t.start(t.launch(1, web(program("stubborn"))))[0]
	t.get(i, "/pid")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := t.Runtime.Stop(ctx, i1, time.Minute); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if runs(i.PID) {
		t.Errorf("process %d still runs", i.PID)
	}
}

func killsDaemons(t *runtimeTest) {
	file := filepath.Join(t.TempDir(), "pid")
	i := t.start(t.launch(1, web(program("parent", file))))[0]
	t.get(i, "/pid")
	pid := t.pid(file)
	t.stop(i1, 100*time.Millisecond)
	if runs(pid) {
		t.Errorf("the daemon %d still runs", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func runsReleasesSideBySide(t *runtimeTest) {
	before := t.start(t.launch(1, web(program("server"))))[0]
	after := t.start(t.launch(2, web(program("server"))))[0]
	if before.Upstream == after.Upstream {
		t.Fatalf("both releases have the upstream %s", before.Upstream)
	}
	if got := t.releases(); !slices.Equal(got, []hop3.ReleaseID{i1, i2}) {
		t.Errorf("Releases = %v", got)
	}
	t.get(before, "/pid")
	t.get(after, "/pid")
	t.stop(i1, time.Minute)
	if pid := t.get(after, "/pid"); pid != strconv.Itoa(after.PID) {
		t.Errorf("after the old one stopped, %s is answered by process %s, want %d", after.Upstream, pid, after.PID)
	}
}

func startsOnlyOnce(t *runtimeTest) {
	l := t.launch(1, web(program("server")))
	first := t.start(l)[0]
	if again := t.start(l); len(again) != 1 || again[0].PID != first.PID {
		t.Errorf("the second Start returned %+v, the first %+v", again, first)
	}
	l.Processes[0].Count = 2
	if more := t.start(l); len(more) != 2 || more[0].PID != first.PID {
		t.Errorf("with one more instance, Start returned %+v", more)
	}
}

func undoesAFailedStart(t *runtimeTest) {
	l := t.launch(1, hop3.Process{Type: "a", Command: program("worker"), Count: 1}, web(program("server")))
	// Too much for execve: the kernel's limit is 6 MiB at most.
	for n := range 80 {
		l.Env[fmt.Sprintf("LARGE_%d", n)] = strings.Repeat("x", 110<<10)
	}
	if _, err := t.Runtime.Start(t.Context(), l); hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Errorf("Start = %v, want a deploy error", err)
	}
	l = t.launch(1, web(program("server")))
	l.Dir = filepath.Join(l.Dir, "missing")
	if _, err := t.Runtime.Start(t.Context(), l); hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Errorf("Start = %v, want a deploy error", err)
	}
	if got := t.releases(); len(got) > 0 {
		t.Errorf("after it, Releases = %v", got)
	}
}

func adoptsWhatRuns(t *runtimeTest) {
	proc := web(program("server"))
	proc.Count = 2
	l := t.launch(1, proc)
	before := t.start(l)
	for _, i := range before {
		t.get(i, "/pid")
	}
	t.reopen()
	if got := t.releases(); !slices.Equal(got, []hop3.ReleaseID{i1}) {
		t.Errorf("the next server sees the releases %v", got)
	}
	after := t.start(l)
	if len(after) != 2 {
		t.Fatalf("%d instances were adopted, want 2", len(after))
	}
	for n, i := range after {
		if i.PID != before[n].PID || i.Upstream != before[n].Upstream || i.Restarts != 0 {
			t.Errorf("%+v was adopted as %+v", before[n], i)
		}
		if pid := t.get(i, "/pid"); pid != strconv.Itoa(i.PID) {
			t.Errorf("%s is answered by process %s, want %d", i.Upstream, pid, i.PID)
		}
	}
}

func restartsWhatItAdopted(t *runtimeTest) {
	l := t.launch(1, web(program("server")))
	t.start(l)
	t.reopen()
	adopted := t.start(l)[0]
	t.kill(adopted.PID)
	again := t.await("it runs again", func(i hop3.Instance) bool { return i.State == hop3.InstanceRunning && i.PID != adopted.PID })
	t.get(again, "/pid")
}

func startsWhatEndedMeanwhile(t *runtimeTest) {
	l := t.launch(1, web(program("server")))
	before := t.start(l)[0]
	if err := t.Runtime.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if !runs(before.PID) {
		t.Errorf("Close ended the instance")
	}
	t.kill(before.PID)
	t.eventually("it has ended", func() bool { return !runs(before.PID) })
	t.Runtime = t.open(t, t.home, t.box)
	after := t.start(l)[0]
	if after.PID == before.PID || after.State != hop3.InstanceRunning {
		t.Errorf("after it, Start returned %+v", after)
	}
	t.get(after, "/pid")
}

func stopsWhatAnotherStarted(t *runtimeTest) {
	i := t.start(t.launch(1, web(program("server"))))[0]
	t.get(i, "/pid")
	t.reopen()
	list, err := t.Runtime.Instances(t.Context(), i1)
	if err != nil || len(list) != 1 || list[0].PID != i.PID {
		t.Errorf("Instances = %+v, %v, want that of the last server", list, err)
	}
	t.stop(i1, time.Minute)
	if runs(i.PID) {
		t.Errorf("process %d still runs", i.PID)
	}
}

func stopsNothing(t *runtimeTest) {
	t.stop(hop3.ReleaseID{App: "nobody", Number: 7}, time.Minute)
	if list, err := t.Runtime.Instances(t.Context(), i1); err != nil || len(list) > 0 {
		t.Errorf("Instances of an unknown release = %v, %v", list, err)
	}
}
