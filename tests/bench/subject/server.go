// Package subject is what the benchmarks measure: a Hop3 built as it is
// released, running on a throw-away home, with a git client that has a key.
package subject

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Server is a `hop3 run` of its own. Everything it has is below Dir.
type Server struct {
	Dir    string
	Home   string // HOP3_HOME; may be filled before Start
	Binary string
	HTTP   int // port
	SSH    int // port
	// Env is the environment of the server and of its clients.
	Env []string

	https, rpc int // ports
	token      string
	cmd        *exec.Cmd
	exited     chan struct{} // closed when cmd has ended
}

// Build builds Hop3 with the flags of a release into dir. The working
// directory is one of the module's.
func Build(ctx context.Context, dir string) (binary string, err error) {
	binary = filepath.Join(dir, "hop3")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-tags=nobadger,nomysql,nopgx",
		"-o", binary, "github.com/abilian/hop3/cmd/hop3")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building hop3: %w\n%s", err, out)
	}
	return binary, uncache(binary)
}

// uncache has a file read from the disk when it is next used, as after the
// machine's start. Where it has just been written, recent kernels keep it in
// huge pages and map those whole: that counts all of the program as the
// server's memory, whether it was ever used or not.
func uncache(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil { // pages not written yet would stay
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// New prepares a server below dir, with free ports and a key for its client.
func New(ctx context.Context, dir, binary string) (*Server, error) {
	s := &Server{Dir: dir, Home: filepath.Join(dir, "server"), Binary: binary}
	if err := freePorts(&s.HTTP, &s.https, &s.SSH, &s.rpc); err != nil {
		return nil, err
	}
	user := filepath.Join(dir, "home")
	key := filepath.Join(user, ".ssh", "id_ed25519")
	if err := os.MkdirAll(filepath.Dir(key), 0o700); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making a key: %w\n%s", err, out)
	}
	s.Env = append(without(os.Environ(), "HOP3_", "GIT_", "HOME=", "XDG_"),
		"HOME="+user,
		"USER=bench",
		"HOP3_HOME="+s.Home,
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Bench", "GIT_AUTHOR_EMAIL=bench@example.com",
		"GIT_COMMITTER_NAME=Bench", "GIT_COMMITTER_EMAIL=bench@example.com",
		"GIT_SSH_COMMAND="+sshCommand(key),
		"HTTP_PORT="+strconv.Itoa(s.HTTP), "HTTPS_PORT="+strconv.Itoa(s.https),
		"SSH_PORT="+strconv.Itoa(s.SSH), "HOP3_PORT="+strconv.Itoa(s.rpc),
		"BIND=127.0.0.1",
		"PROCESS_MANAGER=native", // not whatever is installed
	)
	return s, nil
}

func sshCommand(key string) string {
	return "ssh -F /dev/null -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i " + key
}

// Start runs the server and returns how long it took until it answered.
func (s *Server) Start(ctx context.Context) (time.Duration, error) {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	s.cmd = exec.Command(s.Binary, "run", "--stop-apps")
	s.cmd.Env, s.cmd.Dir = s.Env, s.Dir
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// An interrupt is for the benchmark, which then stops the server.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	s.exited = make(chan struct{})
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait()
	}()
	for !s.healthy(ctx) {
		select {
		case <-s.exited:
			return 0, errors.Join(errors.New("the server ended"), s.Trouble())
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return time.Since(began), nil
}

func (s *Server) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/health", s.rpc), nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

// Stop ends the server and its apps.
func (s *Server) Stop() error {
	if s.cmd == nil || s.exited == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		return nil
	case <-time.After(60 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
		return errors.New("the server did not end in time")
	}
}

// PID is the number of the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Trouble returns the end of the server's log as an error.
func (s *Server) Trouble() error {
	log, err := os.ReadFile(s.logFile())
	if err != nil {
		return err
	}
	return errors.New("server log:\n" + string(log[max(0, len(log)-4000):]))
}

func (s *Server) logFile() string { return filepath.Join(s.Dir, "server.log") }

// Remote is the URL that an app is pushed to.
func (s *Server) Remote(app string) string {
	return fmt.Sprintf("ssh://hop3@127.0.0.1:%d/%s", s.SSH, app)
}

// Command is a program of the server's user, run in dir.
func (s *Server) Command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, s.Env
	return cmd
}

// Git runs git as the server's user.
func (s *Server) Git(ctx context.Context, dir string, args ...string) error {
	if out, err := s.Command(ctx, dir, "git", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Push makes a repository of files, with programs that are copied into it, and
// pushes it as a new app.
func (s *Server) Push(ctx context.Context, app string, files map[string]string, programs ...string) error {
	dir := filepath.Join(s.Dir, "src-"+app)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, program := range programs {
		b, err := os.ReadFile(program)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(program)), b, 0o755); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "one"}, {"push", "-q", s.Remote(app), "main"}} {
		if err := s.Git(ctx, dir, args...); err != nil {
			return err
		}
	}
	return nil
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

func without(env []string, prefixes ...string) (kept []string) {
next:
	for _, e := range env {
		for _, p := range prefixes {
			if strings.HasPrefix(e, p) {
				continue next
			}
		}
		kept = append(kept, e)
	}
	return kept
}
