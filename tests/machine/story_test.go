package machine

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMachine installs Hop3 on a machine as docs/server.md tells, and does to
// it what happens to servers.
func TestMachine(t *testing.T) {
	m := newMachine(t)
	hop3, app := m.build(t)
	m.powerOn(t)
	s := &story{machine: m, app: app}
	for _, chapter := range []struct {
		name string
		tell func(*story, *testing.T)
	}{
		{"systemd starts it", func(s *story, t *testing.T) { s.install(t, hop3) }},
		{"apps are deployed", (*story).deploy},
		{"a connection starts it", (*story).startsByConnection},
		{"limits kill at the right size", (*story).limits},
		{"a reload fails no request", (*story).reload},
		{"a restart refuses no connection", (*story).restart},
		{"nor does a crash", (*story).crash},
		{"a reboot brings the apps back", (*story).reboot},
		{"and so does a power cut", (*story).powerCut},
	} {
		began := time.Now()
		if !t.Run(chapter.name, func(t *testing.T) { chapter.tell(s, t) }) {
			t.FailNow() // what comes next builds on it
		}
		t.Logf("%s: %.1f s", chapter.name, time.Since(began).Seconds())
	}
}

// story is what the chapters have in common.
type story struct {
	*machine
	app string // the program of the apps
}

// install does what docs/server.md says.
func (s *story) install(t *testing.T, hop3 string) {
	if first := s.value(t, "cat", "/proc/1/comm"); first != "systemd" {
		t.Fatalf("the first process is %q", first)
	}
	if kind := s.value(t, "stat", "--file-system", "--format=%T", "/sys/fs/cgroup"); kind != "cgroup2fs" {
		t.Fatalf("the control groups are %q, not v2", kind)
	}
	s.copyIn(t, hop3, "/usr/local/bin/hop3", 0o755)
	for file, text := range documentedUnits(t) {
		s.put(t, file, 0o644, strings.NewReader(text))
	}
	if said := s.run(t, "systemd-analyze", "verify", "hop3.socket", "hop3.service"); said != "" {
		t.Errorf("systemd finds in the units: %s", said)
	}
	s.copyIn(t, s.key+".pub", "/root/key.pub", 0o644)
	s.run(t, "systemctl", "daemon-reload")
	s.run(t, "systemctl", "enable", "--now", "hop3.socket", "hop3.service")
	// At once: systemd says that the server has started.
	s.run(t, "hop3", "key", "add", "root", "/root/key.pub")
}

// deploy makes most of the apps, some on each of the runtimes, and looks for
// complaints of the server's.
func (s *story) deploy(t *testing.T) {
	limited := "[limits]\nmemory = \"64M\"\n"
	s.settings(t, "process_manager = \"native\"\n")
	// As at the installation of any package. systemd reconsiders then which
	// controllers its groups need, and there is no app yet that has some.
	s.run(t, "systemctl", "daemon-reload")
	s.push(t, "tight", s.app, map[string]string{"Procfile": "web: ./app\n", "hop3.toml": limited})
	s.push(t, "sleepy", s.app, map[string]string{"Procfile": "web: ./app\n", "hop3.toml": "[scaling.web]\nsleep-after = \"1s\"\n"})
	s.settings(t, "process_manager = \"uwsgi\"\n")
	s.push(t, "blog", s.app, map[string]string{"Procfile": "web: ./app\n", "hop3.toml": limited})
	s.push(t, "halted", s.app, map[string]string{"Procfile": "web: ./app\n"})
	s.run(t, "hop3", "app", "stop", "--app", "halted")
	s.says(t, "Asleep", "hop3", "app", "status", "--app", "sleepy")
	s.answers(t, "blog")
	if vassals := s.value(t, "ls", "/home/hop3/uwsgi-enabled"); vassals != "blog_web.1.ini" {
		t.Errorf("the vassals of uWSGI are %q", vassals)
	}
	for line := range strings.Lines(s.journal(t)) {
		// Its own lines have a level; those of systemd's have not.
		if lower := strings.ToLower(line); strings.Contains(lower, "warn") || strings.Contains(lower, "error") || strings.Contains(lower, "fail") {
			t.Errorf("the journal has: %s", line)
		}
	}
	process := s.runs(t, "blog web.1", "tight web.1")["tight web.1"]
	user := s.value(t, "stat", "--format=%u", "/proc/"+process)
	if len(user) != 5 || user[0] != '7' {
		t.Errorf("the app runs as the user %s, none of 70000 to 79999", user)
	}
}

// settings puts settings into effect.
func (s *story) settings(t *testing.T, text string) {
	t.Helper()
	s.put(t, "/etc/hop3/config.toml", 0o644, strings.NewReader(text))
	s.run(t, "systemctl", "reload", "hop3.service")
}

// journal returns what the server, and systemd about it, have logged since the
// machine's start.
func (s *story) journal(t *testing.T) string {
	t.Helper()
	return s.run(t, "journalctl", "--unit=hop3.service", "--boot", "--output=cat", "--no-pager")
}

// startsByConnection stops the server. A request, then a push, each start it
// again, and are answered.
func (s *story) startsByConnection(t *testing.T) {
	for _, what := range []struct {
		name    string
		connect func()
	}{
		{"request", func() {
			if body, err := ask(s.client(), http.MethodGet, "http://blog.localhost/"); err != nil || body != "blog" {
				t.Errorf("the answer is %q, %v", body, err)
			}
		}},
		{"push", func() { s.push(t, "mill", s.app, map[string]string{"Procfile": "worker: ./app worker\n"}) }},
	} {
		s.run(t, "systemctl", "stop", "hop3.service")
		if _, state := s.server(t); state != "inactive" {
			t.Fatalf("after its stop the server is %s", state)
		}
		what.connect()
		if _, state := s.server(t); state != "active" {
			t.Errorf("after a %s the server is %s", what.name, state)
		}
	}
	s.runs(t, "blog web.1", "mill worker.1", "tight web.1")
}

// limits has apps with a limit of 64 MB, on each of the runtimes, take more and
// more.
func (s *story) limits(t *testing.T) {
	before := s.processes(t)
	for _, app := range []string{"tight", "blog"} {
		held, err := s.takeAll(app)
		t.Logf("%s could take %d MB: %v", app, held, err)
		// Of the 64 the app itself needs some.
		if held < 44 || held > 64 {
			t.Errorf("%s, with a limit of 64 MB, could take %d MB, then: %v", app, held, err)
		}
		const why = "out of memory (limit 64 MiB)"
		s.says(t, why, "hop3", "app", "status", "--app", app)
		s.says(t, why, "hop3", "logs", "--app", app)
		s.answers(t, app)
		after := s.runs(t, slices.Collect(maps.Keys(before))...)
		for instance, process := range after {
			if ended := process != before[instance]; ended != (instance == app+" web.1") {
				t.Errorf("%s was the process %s, and is %s", instance, before[instance], process)
			}
		}
		before = after
	}
}

// takeAll has an app take memory until it does not answer, or has had enough.
func (s *story) takeAll(app string) (held int, err error) {
	const step = 4 // MB
	client := s.client()
	for held < 128 {
		// POST: what is lost with its process is not asked for again.
		if _, err := ask(client, http.MethodPost, fmt.Sprintf("http://%s.localhost/take?mb=%d", app, step)); err != nil {
			return held, err
		}
		held += step
	}
	return held, nil
}

// underLoad does something to the server while an app is asked all the time
// and a long answer is under way. The apps do not notice.
func (s *story) underLoad(t *testing.T, do func()) *load {
	t.Helper()
	before := s.processes(t)
	l := s.startLoad(t, "blog")
	const size = 40 // bytes, at ten a second
	long, err := s.client().RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://tight.localhost/slow?n=%d", size), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer long.Body.Close()
	do()
	if body, err := io.ReadAll(long.Body); err != nil || len(body) != size {
		t.Errorf("of the long answer there are %d bytes of %d: %v", len(body), size, err)
	}
	if after := s.processes(t); !maps.Equal(before, after) {
		t.Errorf("the apps' processes were %q, and are %q", before, after)
	}
	return l
}

func (s *story) reload(t *testing.T) {
	server, _ := s.server(t)
	const mark = "Reloaded: Hop3"
	before := strings.Count(s.journal(t), mark)
	l := s.underLoad(t, func() { s.run(t, "systemctl", "reload", "hop3.service") })
	l.end(t, time.Time{})
	if now, state := s.server(t); now != server || state != "active" {
		t.Errorf("the server's process was %s, and is %s; it is %s", server, now, state)
	}
	if after := strings.Count(s.journal(t), mark); after != before+1 {
		t.Errorf("it reloaded %d times", after-before)
	}
}

func (s *story) restart(t *testing.T) {
	server, _ := s.server(t)
	l := s.underLoad(t, func() { s.run(t, "systemctl", "restart", "hop3.service") })
	l.end(t, time.Time{})
	if now, state := s.server(t); now == server || state != "active" {
		t.Errorf("the server's process was %s, and is %s; it is %s", server, now, state)
	}
}

// crash kills the server. What it was answering is lost, nothing else.
func (s *story) crash(t *testing.T) {
	server, _ := s.server(t)
	before := s.processes(t)
	l := s.startLoad(t, "blog")
	s.run(t, "systemctl", "kill", "--signal=KILL", "--kill-who=main", "hop3.service")
	killed := time.Now()
	s.eventually(t, "systemd has started another server", func() error {
		pid, state := s.server(t)
		if pid == server || pid == "0" || state != "active" {
			return fmt.Errorf("its process is %s, it is %s", pid, state)
		}
		return nil
	})
	l.end(t, killed)
	if after := s.processes(t); !maps.Equal(before, after) {
		t.Errorf("the apps' processes were %q, and are %q", before, after)
	}
}

func (s *story) reboot(t *testing.T) {
	_, _, _ = s.try("systemctl", "reboot") // the answer may not get out any more
	s.eventually(t, "the machine has shut down", func() error {
		select {
		case <-s.exited:
			return nil
		default:
			return errors.New("it is still up")
		}
	})
	s.powerOn(t)
	s.isBack(t)
}

func (s *story) powerCut(t *testing.T) {
	s.cutPower()
	s.powerOn(t)
	s.isBack(t)
}

// isBack checks after the machine's start that what ran runs again, and
// nothing else.
func (s *story) isBack(t *testing.T) {
	t.Helper()
	running := []string{"blog web.1", "mill worker.1", "tight web.1"}
	s.answers(t, "blog")
	s.answers(t, "tight")
	s.runs(t, running...)
	s.says(t, "RUNNING", "hop3", "app", "status", "--app", "mill")
	s.says(t, "STOPPED", "hop3", "app", "status", "--app", "halted")
	if body, err := ask(s.client(), http.MethodGet, "http://halted.localhost/"); err == nil {
		t.Errorf("an app that was stopped answers %q", body)
	}
	s.says(t, "Asleep", "hop3", "app", "status", "--app", "sleepy")
	s.answers(t, "sleepy")
	s.says(t, "Asleep", "hop3", "app", "status", "--app", "sleepy")
	s.runs(t, running...)
	s.run(t, "grep", "-rq", "--include=memory.max", "^67108864$", "/sys/fs/cgroup")
}
