package hop3test

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

const sick = "its health check failed 3 times in a row"

func trims(t *runtimeTest) {
	proc, worker := web(program("server")), hop3.Process{Type: "worker", Command: program("worker"), Count: 2}
	proc.Count = 3
	l := t.launch(1, proc, worker)
	all := t.start(l)
	if err := t.Runtime.Trim(t.Context(), i1, map[string]int{"web": 1}, time.Minute); err != nil {
		t.Fatalf("Trim: %v", err)
	}
	for _, i := range all {
		if kept := i.Type == "web" && i.Ordinal == 1; runs(i.PID) != kept {
			t.Errorf("after Trim, %s.%d runs: %v", i.Type, i.Ordinal, !kept)
		}
	}
	t.reopen()
	if left, err := t.Runtime.Instances(t.Context(), i1); err != nil || len(left) != 1 || left[0].PID != all[0].PID {
		t.Errorf("after Trim, Instances = %+v, %v", left, err)
	}
	l.Processes[0].Count, l.Processes[1].Count = 2, 0
	again := t.start(l)
	if len(again) != 2 || again[0].PID != all[0].PID || again[1].Ordinal != 2 {
		t.Fatalf("with two wanted, Start returned %+v", again)
	}
	t.get(again[1], "/pid")
	if err := t.Runtime.Trim(t.Context(), i1, nil, time.Minute); err != nil {
		t.Fatalf("Trim: %v", err)
	}
	if got := t.releases(); len(got) > 0 {
		t.Errorf("after all was trimmed, Releases = %v", got)
	}
	if err := t.Runtime.Trim(t.Context(), i2, nil, time.Minute); err != nil {
		t.Errorf("trimming what does not run: %v", err)
	}
}

func restartsTheSick(t *runtimeTest) {
	proc := web(program("server"))
	proc.Count = 2
	all := t.start(t.launch(1, proc))
	for _, i := range all {
		t.get(i, "/pid")
	}
	if err := t.Runtime.Restart(t.Context(), i1, "web", 2, sick, time.Minute); err != nil {
		t.Fatalf("Restart: %v", err)
	}
	if runs(all[1].PID) {
		t.Errorf("after Restart, process %d still runs", all[1].PID)
	}
	if !strings.Contains(t.log(all[1]), "asked to end") {
		t.Errorf("the process got no SIGTERM; its log: %s", t.log(all[1]))
	}
	var now []hop3.Instance
	t.eventually("it runs again", func() bool {
		now = t.instances(i1)
		return len(now) == 2 && now[1].State == hop3.InstanceRunning && now[1].PID != all[1].PID
	})
	if now[1].Restarts != 1 || now[1].LastExit != sick {
		t.Errorf("after Restart: restarts %d, last exit %q", now[1].Restarts, now[1].LastExit)
	}
	if now[0].PID != all[0].PID || now[0].Restarts != 0 {
		t.Errorf("the other one was %+v and now is %+v", all[0], now[0])
	}
	t.get(now[1], "/pid")
	for _, ordinal := range []int{0, 3} {
		if err := t.Runtime.Restart(t.Context(), i1, "web", ordinal, sick, time.Minute); err != nil {
			t.Errorf("restarting what does not run: %v", err)
		}
	}
	if err := t.Runtime.Restart(t.Context(), i2, "web", 1, sick, time.Minute); err != nil {
		t.Errorf("restarting what was never started: %v", err)
	}
}

func restartsTheStubborn(t *runtimeTest) {
	file := filepath.Join(t.TempDir(), "pid")
	first := t.start(t.launch(1, web(program("stubborn-parent", file))))[0]
	t.get(first, "/pid")
	daemon := t.pid(file)
	// Two who ask at the same time get one restart.
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- t.Runtime.Restart(t.Context(), i1, "web", 1, sick, 300*time.Millisecond) }()
	}
	if err := <-errs; err != nil {
		t.Errorf("Restart: %v", err)
	}
	if runs(first.PID) || runs(daemon) {
		t.Errorf("after Restart, process %d runs: %v, and its daemon %d: %v", first.PID, runs(first.PID), daemon, runs(daemon))
	}
	if err := <-errs; err != nil {
		t.Errorf("Restart: %v", err)
	}
	second := t.await("it runs again", func(i hop3.Instance) bool { return i.State == hop3.InstanceRunning && i.PID != first.PID })
	if second.LastExit != sick {
		t.Errorf("after Restart: last exit %q", second.LastExit)
	}
	t.get(second, "/pid")
}

func stopsWhileItRestarts(t *runtimeTest) {
	i := t.start(t.launch(1, web(program("stubborn"))))[0]
	t.get(i, "/pid")
	restarted := make(chan error, 1)
	go func() { restarted <- t.Runtime.Restart(context.Background(), i1, "web", 1, sick, time.Hour) }()
	t.eventually("it was asked to end", func() bool { return strings.Contains(t.log(i), "asked to end") })
	t.stop(i1, 100*time.Millisecond)
	if err := <-restarted; err != nil {
		t.Errorf("Restart: %v", err)
	}
	if runs(i.PID) || len(t.instances(i1)) > 0 {
		t.Errorf("after Stop, process %d runs: %v, and Instances = %+v", i.PID, runs(i.PID), t.instances(i1))
	}
}

func restartsAllThatWereKilled(t *runtimeTest) {
	proc := web(program("server"))
	proc.Count = 2
	all := t.start(t.launch(1, proc, hop3.Process{Type: "worker", Command: program("worker"), Count: 1}))
	other := t.start(t.launch(2, web(program("server"))))[0]
	for _, i := range all {
		t.kill(i.PID)
	}
	var now []hop3.Instance
	t.eventually("all run again", func() bool {
		now = t.instances(i1)
		return !slices.ContainsFunc(now, func(i hop3.Instance) bool { return i.State != hop3.InstanceRunning || i.Restarts == 0 })
	})
	for n, i := range now {
		if i.PID == all[n].PID || i.LastExit != "signal: killed" || i.Upstream != all[n].Upstream {
			t.Errorf("%+v was killed and is now %+v", all[n], i)
		}
		if i.Upstream != "" {
			t.get(i, "/pid")
		}
	}
	if pid := t.get(other, "/pid"); pid != strconv.Itoa(other.PID) {
		t.Errorf("the other release was process %d and is now %s", other.PID, pid)
	}
}

// killsWhatHides stops a process that left its session, outlived its parent
// and wiped its environment.
func killsWhatHides(t *runtimeTest) {
	t.limited()
	file := filepath.Join(t.TempDir(), "pid")
	i := t.start(t.launch(1, web(program("hider", file))))[0]
	t.get(i, "/pid")
	pid := t.pid(file)
	t.stop(i1, 100*time.Millisecond)
	if runs(pid) {
		t.Errorf("process %d still runs", pid)
		t.kill(pid)
	}
	file += "2"
	exit, err := t.Runtime.Run(t.Context(), t.launch(2), hop3.OneOff{Shell: program("hide", file)})
	if err != nil || exit != 0 {
		t.Fatalf("Run = %d, %v", exit, err)
	}
	if pid := t.pid(file); runs(pid) {
		t.Errorf("process %d still runs", pid)
		t.kill(pid)
	}
}
