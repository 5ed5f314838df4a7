package tests

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKillDuringDeploy kills the server with SIGKILL at 30 random points of a
// deploy. After each restart the app serves what its branch says, either the
// old or the new release as a whole, with exactly one release live, one
// process running and a sound repository.
func TestKillDuringDeploy(t *testing.T) {
	for _, runtime := range runtimes(t) {
		rounds := map[string]int{"native": 30, "uwsgi": 10}[runtime]
		t.Run(runtime, func(t *testing.T) { killDuringDeploy(t, runtime, rounds) })
	}
}

func killDuringDeploy(t *testing.T, runtime string, rounds int) {
	s := startServerWith(t, "PROCESS_MANAGER="+runtime)
	dir := loadRepository(t, s, "crash")
	if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(err)
	}
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	// How long a whole deploy takes decides from when to when to kill.
	began := time.Now()
	if err := s.commit(dir, map[string]string{"version": "2\n"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(began)

	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d, a deploy takes %s", seed, whole)
	moved := 0
	for round := range rounds {
		before, err := s.served("crash")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.commit(dir, map[string]string{"version": strconv.Itoa(round+3) + "\n"}); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(random.Int64N(int64(whole)))
		push := exec.Command("git", "push", "hop3", "main")
		push.Dir, push.Env = dir, s.env
		if err := push.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after) // the point of the test: a moment of no meaning
		s.signal(syscall.SIGKILL)
		accepted := push.Wait() == nil
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		serves, err := s.served("crash")
		if err != nil {
			t.Fatalf("round %d, killed after %s: %v", round, after, err)
		}
		if err := s.consistent("crash", dir, serves); err != nil {
			t.Fatalf("round %d, killed after %s: %v", round, after, err)
		}
		switch {
		case serves == strconv.Itoa(round+3):
			moved++
		case accepted:
			t.Fatalf("round %d, killed after %s: the push was accepted, and %s serves", round, after, serves)
		case serves != before:
			t.Fatalf("round %d, killed after %s: %s served before, now %s", round, after, before, serves)
		}
	}
	t.Logf("%d of %d killed deploys had already gone through", moved, rounds)
}

// served returns the version that the app answers with, once it answers.
func (s *server) served(app string) (version string, err error) {
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		var code int
		code, version, err = s.get(context.Background(), app+".localhost", "/")
		if err == nil && code == 200 {
			return strings.TrimSpace(version), nil
		}
		if err == nil {
			err = fmt.Errorf("status %d: %s", code, version)
		}
		time.Sleep(20 * time.Millisecond) // between two polls
	}
	return "", fmt.Errorf("the app does not answer: %w", err)
}

// consistent checks that branch, database, processes and repository agree on
// the version that serves.
func (s *server) consistent(app, dir, serves string) error {
	out, err := s.run(dir, "git", "ls-remote", "hop3", "refs/heads/main")
	if err != nil {
		return err
	}
	hash, _, _ := strings.Cut(out, "\t")
	version, err := s.run(dir, "git", "show", hash+":version")
	if err != nil {
		return err
	}
	if strings.TrimSpace(version) != serves {
		return fmt.Errorf("the branch says %s, the app serves %s", strings.TrimSpace(version), serves)
	}
	if out, err := s.run(dir, "git", "-C", s.home+"/apps/"+app+"/git", "fsck", "--full", "--strict"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if left, err := s.run(dir, "sh", "-c", "cd '"+s.home+"/apps/"+app+"/git' && ls -d objects/tmp_* objects/*/tmp_* checkout-* *.lock 2>/dev/null; true"); err != nil || left != "" {
		return fmt.Errorf("left in the repository: %s %v", left, err)
	}
	releases, err := s.run(dir, "hop3", "releases", "--app", app, "--json")
	if err != nil {
		return err
	}
	if n := strings.Count(releases, `"live"`); n != 1 {
		return fmt.Errorf("%d releases are live:\n%s", n, releases)
	}
	if strings.Contains(releases, `"building"`) {
		return fmt.Errorf("a release is still being built:\n%s", releases)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		pids := slices.DeleteFunc(s.processesOf(app), attends)
		if len(pids) == 1 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes are left, want 1: %v", len(pids), pids)
		}
		time.Sleep(20 * time.Millisecond) // between two polls
	}
}

// attends reports whether a process is one of those that stand around an app's
// where uWSGI runs it.
func attends(pid int) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err != nil || strings.HasPrefix(string(name), "uwsgi") || string(name) == "sh\n"
}

// logIn makes an administrator and stores its token for the command line.
func (s *server) logIn() error {
	_, err := s.run(s.dir, "sh", "-c", `printf pw-pw-pw-pw | hop3-server admin:create boss boss@example.com --password-stdin >/dev/null &&
		hop3 login "$HOP3_API_URL?token=$(hop3-server admin:token boss)"`)
	return err
}
