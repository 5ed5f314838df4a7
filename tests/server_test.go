package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a `hop3 run` of its own, with its home, its ports and its user's
// home directory.
type server struct {
	dir                   string // holds all the others
	home                  string // HOP3_HOME
	http, https, ssh, rpc int
	env                   []string // for the server and for its clients
	program               []string // what start runs, with its first arguments

	cmd     *exec.Cmd
	exited  chan struct{} // closed when cmd has ended
	exitErr error         // valid once exited is closed
	log     string
}

// newServer prepares a server below dir; start runs it.
func newServer(dir string) (*server, error) {
	s := &server{
		dir: dir, home: filepath.Join(dir, "hop3"), log: filepath.Join(dir, "server.log"),
		program: []string{filepath.Join(binaries, "hop3"), "run"},
	}
	if err := freePorts(&s.http, &s.https, &s.ssh, &s.rpc); err != nil {
		return nil, err
	}
	userHome := filepath.Join(dir, "home")
	key := filepath.Join(userHome, ".ssh", "id_ed25519")
	if err := os.MkdirAll(filepath.Dir(key), 0o700); err != nil {
		return nil, err
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me@laptop", "-f", key).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	s.env = append(withoutPrefixes(os.Environ(), "HOP3_", "GIT_", "HOME=", "XDG_", "PATH="),
		"HOME="+userHome,
		"USER=me",
		"PATH="+binaries+":"+os.Getenv("PATH"),
		"HOP3_HOME="+s.home,
		"HOP3_API_URL=http://127.0.0.1:"+strconv.Itoa(s.rpc),
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Me", "GIT_AUTHOR_EMAIL=me@example.com", "GIT_COMMITTER_NAME=Me", "GIT_COMMITTER_EMAIL=me@example.com",
		"GIT_SSH_COMMAND=ssh -F /dev/null -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i "+key,
		// Downloads of earlier tests are fine to share; builds are not.
		"GOFLAGS=-modcacherw", "GOMODCACHE="+goEnv("GOMODCACHE"), "GOCACHE="+goEnv("GOCACHE"),
		"HTTP_PORT="+strconv.Itoa(s.http), "HTTPS_PORT="+strconv.Itoa(s.https), "SSH_PORT="+strconv.Itoa(s.ssh), "HOP3_PORT="+strconv.Itoa(s.rpc),
		"BIND=127.0.0.1",
		// Not auto: a story runs the same wherever it runs. Those that are
		// told on every runtime say so.
		"PROCESS_MANAGER=native",
	)
	return s, nil
}

// startServer is newServer and start for a Go test, with everything ended at
// its end. It runs another program than `hop3 run` when one is given.
func startServer(t *testing.T, program ...string) *server {
	t.Helper()
	s := prepareServer(t)
	if program != nil {
		s.program = program
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// startServerWith is startServer with more variables in the environment.
func startServerWith(t *testing.T, env ...string) *server {
	t.Helper()
	s := prepareServer(t)
	s.env = append(s.env, env...)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// prepareServer is newServer with everything ended at the test's end.
func prepareServer(t *testing.T) *server {
	t.Helper()
	s, err := newServer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.end()
		if t.Failed() {
			log, _ := os.ReadFile(s.log)
			t.Logf("server log:\n%s", tail(log, 8000))
		}
	})
	return s
}

// runtimes are those this machine can run apps with. tests/run installs uWSGI.
func runtimes(t *testing.T) []string {
	if _, err := exec.LookPath("uwsgi"); err == nil {
		return []string{"native", "uwsgi"}
	}
	t.Log("without uwsgi: it is not installed")
	return []string{"native"}
}

// start runs the server's program, with more arguments, and waits until it
// answers.
func (s *server) start(args ...string) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(s.program[0], append(s.program[1:len(s.program):len(s.program)], args...)...)
	s.cmd.Env, s.cmd.Dir = s.env, s.dir
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		defer close(s.exited)
		s.exitErr = s.cmd.Wait()
	}()
	return s.waitHealthy()
}

func (s *server) waitHealthy() error {
	deadline := time.After(60 * time.Second)
	for {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/health", s.rpc))
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.exited:
			log, _ := os.ReadFile(s.log)
			return fmt.Errorf("the server ended: %v\n%s", s.exitErr, tail(log, 4000))
		case <-deadline:
			return errors.New("the server did not become healthy in time")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// signal sends the server a signal and waits for its end.
func (s *server) signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case <-s.exited:
		return s.exitErr
	case <-time.After(60 * time.Second):
		s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.exited
		return errors.New("the server did not end in time")
	}
}

// end ends the server and every process that belongs to its home.
func (s *server) end() {
	if s.cmd != nil {
		select {
		case <-s.exited:
		default:
			s.signal(syscall.SIGTERM)
		}
	}
	for _, pid := range s.fronts() {
		syscall.Kill(-pid, syscall.SIGKILL) // with its workers
	}
	// The emperor first: it starts again what ends.
	for _, pid := range slices.Concat(s.emperors(), s.processes(), s.services()) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// services returns the databases and the like that the server runs for addons.
// Some write over their environment.
func (s *server) services() []int {
	return append(withFile("cmdline", s.home+"/services/"), withFile("environ", s.home+"/services/")...)
}

// fronts returns the proxies that stand in front of the server, and those that
// did.
func (s *server) fronts() []int {
	return append(withFile("cmdline", s.home+"/nginx/"), withFile("cmdline", s.home+"/traefik\x00")...)
}

// emperors returns the uWSGI emperors over the server's home: one or none.
func (s *server) emperors() []int {
	return withFile("cmdline", "\x00--emperor\x00"+s.home+"/")
}

// processes returns the living processes that were given something of the
// server's home in their environment: its apps, hooks and builds.
func (s *server) processes() []int { return withFile("environ", s.home+"/apps/") }

// processesOf returns the processes of one app.
func (s *server) processesOf(app string) []int { return withFile("environ", s.home+"/apps/"+app+"/") }

// withFile returns the processes whose file below /proc contains a text.
func withFile(name, text string) []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		content, err := os.ReadFile(filepath.Join("/proc", e.Name(), name))
		if err == nil && bytes.Contains(content, []byte(text)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// get asks the public HTTP port for a path of a host.
func (s *server) get(ctx context.Context, host, path string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://127.0.0.1:%d%s", s.http, path), nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, string(data), err
}

// run runs a program with the environment of the server's user in dir.
func (s *server) run(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	if filepath.Base(name) == name {
		if path, err := exec.LookPath(filepath.Join(binaries, name)); err == nil {
			cmd = exec.Command(path, args...)
		}
	}
	cmd.Dir, cmd.Env = dir, s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// repository makes a git repository of the files, with a remote for the app.
func (s *server) repository(app string, files map[string]string) (dir string, err error) {
	dir = filepath.Join(s.dir, "src-"+app)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if _, err := s.run(dir, "git", "init", "-q", "-b", "main"); err != nil {
		return "", err
	}
	if _, err := s.run(dir, "git", "remote", "add", "hop3", s.remote(app)); err != nil {
		return "", err
	}
	return dir, s.commit(dir, files)
}

// getenv returns a variable of the environment of the server's user.
func (s *server) getenv(name string) string {
	for _, e := range slices.Backward(s.env) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

func (s *server) remote(app string) string {
	return fmt.Sprintf("ssh://hop3@127.0.0.1:%d/%s", s.ssh, app)
}

// commit writes the files into the repository and commits them.
func (s *server) commit(dir string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	if _, err := s.run(dir, "git", "add", "-A"); err != nil {
		return err
	}
	_, err := s.run(dir, "git", "commit", "-q", "--allow-empty", "-m", "change")
	return err
}

func freePorts(ports ...*int) error {
	for _, p := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // all at once, at the end: no port is handed out twice
		*p = l.Addr().(*net.TCPAddr).Port
	}
	return nil
}

func withoutPrefixes(env []string, prefixes ...string) []string {
	var out []string
next:
	for _, e := range env {
		for _, p := range prefixes {
			if strings.HasPrefix(e, p) {
				continue next
			}
		}
		out = append(out, e)
	}
	return out
}

func goEnv(name string) string {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}
