package supervisor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// TestServerKilledAnywhere kills a server that starts and stops releases all
// the time. What the next one finds is enough to end all of it.
func TestServerKilledAnywhere(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		server := exec.Command(exe)
		server.Env = append(os.Environ(), "SUPERVISOR_CHURN="+dir)
		out, err := server.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		var ready string
		if _, err := fmt.Fscan(out, &ready); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(60 * time.Millisecond)) // anywhere
		_ = server.Process.Kill()
		_ = server.Wait()

		next := open(t, filepath.Join(dir, "run"))
		releases, err := next.Releases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range releases {
			if err := next.Stop(t.Context(), id, 5*time.Second); err != nil {
				t.Error(err)
			}
		}
		if left := marked(t, next); len(left) > 0 {
			t.Errorf("nobody knows of %v", left)
		}
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	}
}

// churn is the server of that test.
func churn(dir string) {
	time.AfterFunc(time.Minute, func() { os.Exit(9) })
	s, err := New(Options{RunDir: filepath.Join(dir, "run")})
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	for n := 1; ; n++ {
		for _, release := range []int{n, n + 1} {
			_, err := s.Start(context.Background(), hop3.Launch{
				ID: hop3.ReleaseID{App: "shop", Number: release}, Dir: dir, LogDir: filepath.Join(dir, "log"),
				Processes: []hop3.Process{{Type: "web", Command: "sleep 600 & exec sleep 600", Count: 2}},
			})
			if err != nil {
				panic(err)
			}
		}
		if err := s.Stop(context.Background(), hop3.ReleaseID{App: "shop", Number: n}, time.Second); err != nil {
			panic(err)
		}
	}
}

// TestServerKilledBeforeItKnewTheProcess is a crash between the two writes of
// a state file.
func TestServerKilledBeforeItKnewTheProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	l := launch(t, hop3.Process{Type: "web", Command: "exec sleep 600", Count: 1})
	before, err := s.Start(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	r := s.held(shop)[0].record()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r.PID, r.Start, r.StartedAt = 0, 0, time.Time{}
	if err := s.states.save(&r); err != nil {
		t.Fatal(err)
	}

	next := open(t, dir)
	defer next.Close()
	after, err := next.Start(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, next)
	if after[0].PID != before[0].PID || after[0].Upstream != before[0].Upstream {
		t.Errorf("%+v was adopted as %+v", before[0], after[0])
	}
}

// TestMachineCrashed starts from what a crash of the machine can leave: a state
// file that is empty, and one of another boot whose pid now is another's.
func TestMachineCrashed(t *testing.T) {
	for name, spoil := range map[string]func(file string, r record, s *Supervisor) error{
		"EmptyFile":   func(file string, _ record, _ *Supervisor) error { return os.WriteFile(file, nil, 0o600) },
		"AnotherBoot": func(_ string, r record, s *Supervisor) error { r.Boot = "another"; return s.states.save(&r) },
		"AnotherProcess": func(_ string, r record, s *Supervisor) error {
			r.PID, r.Start, r.Marker = os.Getpid(), 1, "another"
			return s.states.save(&r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			l := launch(t, hop3.Process{Type: "web", Command: "exec sleep 600", Count: 1})
			if _, err := s.Start(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			r := s.held(shop)[0].record()
			if err := s.familyOf(r).kill(); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			// The supervisor may have started it again before Close.
			r = s.held(shop)[0].record()
			if err := s.familyOf(r).kill(); err != nil {
				t.Fatal(err)
			}
			if err := spoil(s.states.file(shop, "web", 1), r, s); err != nil {
				t.Fatal(err)
			}

			next := open(t, dir)
			defer next.Close()
			if ids, err := next.Releases(t.Context()); err != nil || len(ids) != 1 {
				t.Errorf("Releases = %v, %v", ids, err)
			}
			after, err := next.Start(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			defer stop(t, next)
			if after[0].State != hop3.InstanceRunning || after[0].PID == r.PID || after[0].Upstream == "" {
				t.Errorf("Start returned %+v", after[0])
			}
		})
	}
}
