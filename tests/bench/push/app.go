package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

// app is a sample app that is pushed again and again.
type app struct {
	server  *subject.Server
	name    string
	source  string // its repository
	beside  string // a bare repository without Hop3
	release int
	rounds  []figures
}

// newApp makes the repository and pushes it for the first time, which fills
// the caches.
func newApp(ctx context.Context, server *subject.Server, sample, name string) (*app, error) {
	a := &app{
		server: server, name: name, release: 1,
		source: filepath.Join(server.Dir, "src-"+name), beside: filepath.Join(server.Dir, name+".git"),
	}
	if err := os.CopyFS(a.source, os.DirFS(sample)); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"},
		{"add", "-A"},
		{"commit", "-q", "-m", "first"},
		{"init", "-q", "--bare", a.beside},
		{"push", "-q", a.beside, "main"},
		{"push", "-q", server.Remote(name), "main"},
	} {
		if err := server.Git(ctx, a.source, args...); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// round changes the app, pushes it and measures.
func (a *app) round(ctx context.Context, r *rival, verbose bool) error {
	a.release++
	if err := a.change(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var f figures
	began := time.Now()
	answered := make(chan error, 1)
	go func() {
		err := a.untilServed(ctx)
		f.first200 = time.Since(began)
		answered <- err
	}()
	lines, err := a.push(ctx, began)
	f.push = time.Since(began)
	if err := errors.Join(err, <-answered); err != nil {
		return err
	}
	if verbose {
		for _, l := range lines {
			fmt.Printf("%7.0f ms  %s\n", float64(l.at.Microseconds())/1000, l.text)
		}
		fmt.Printf("%7.0f ms  first 200\n%7.0f ms  git push ended\n\n", float64(f.first200.Microseconds())/1000, float64(f.push.Microseconds())/1000)
	}
	f.build = buildTime(lines)
	if f.start, err = a.startByHand(ctx); err != nil {
		return fmt.Errorf("starting it by hand: %w", err)
	}
	if f.gitClient, f.sshOnly, err = a.clients(ctx); err != nil {
		return err
	}
	if r != nil {
		if f.rival, err = r.round(ctx, a); err != nil {
			return err
		}
	}
	if f.rollback, err = a.rollback(ctx); err != nil {
		return err
	}
	a.rounds = append(a.rounds, f)
	return nil
}

// rollback goes back to the release before, and returns how long it took until
// that served: when the call is answered it does.
func (a *app) rollback(ctx context.Context) (time.Duration, error) {
	a.release++
	began := time.Now()
	if err := a.server.Call(ctx, "rollback", "--app", a.name); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, a.untilServed(ctx)
}

func (a *app) slowestRollback() (most time.Duration) {
	for _, f := range a.rounds {
		most = max(most, f.rollback)
	}
	return most
}

// change commits something that must be built.
func (a *app) change(ctx context.Context) error {
	text := fmt.Sprintf("// Round %d.\n", a.release)
	file := "round.txt"
	if _, err := os.Stat(filepath.Join(a.source, "go.mod")); err == nil {
		file, text = "round.go", fmt.Sprintf("package main\n\nfunc init() { println(%d) }\n", a.release)
	}
	if err := os.WriteFile(filepath.Join(a.source, file), []byte(text), 0o644); err != nil {
		return err
	}
	if err := a.server.Git(ctx, a.source, "add", "-A"); err != nil {
		return err
	}
	return a.server.Git(ctx, a.source, "commit", "-q", "-m", "round")
}

// untilServed returns when the new release answers through Hop3. The sample
// apps say which release they are.
func (a *app) untilServed(ctx context.Context) error {
	wanted := fmt.Sprintf("release v%d\n", a.release)
	for {
		body, err := get(ctx, a.server.HTTP, a.name+".localhost")
		if err == nil && strings.HasSuffix(body, wanted) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the new release does not answer: %q, %w", body, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, port int, host string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
	if err != nil {
		return "", err
	}
	req.Host = host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return string(body), err
}

// line is one of those git push shows, and when.
type line struct {
	at   time.Duration
	text string
}

func (a *app) push(ctx context.Context, began time.Time) (lines []line, err error) {
	cmd := a.server.Command(ctx, a.source, "git", "push", a.server.Remote(a.name), "main")
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	scanner := bufio.NewScanner(said)
	var all strings.Builder
	for scanner.Scan() {
		lines = append(lines, line{time.Since(began), scanner.Text()})
		all.WriteString(scanner.Text() + "\n")
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("git push: %w\n%s", err, &all)
	}
	return lines, nil
}

// buildTime is the time between a line that names a tool's work and the next
// step.
func buildTime(lines []line) (total time.Duration) {
	var since time.Duration
	for _, l := range lines {
		_, step, ok := strings.Cut(l.text, "-----> ")
		if !ok {
			continue
		}
		if since != 0 {
			total += l.at - since
			since = 0
		}
		for _, tool := range []string{"Compiling", "Installing", "Building"} {
			if strings.HasPrefix(step, tool) {
				since = l.at
			}
		}
	}
	return total
}

// clients times what git and ssh take for themselves: a push of the same
// commit without Hop3, and a connection that asks for nothing.
func (a *app) clients(ctx context.Context) (git, ssh time.Duration, err error) {
	began := time.Now()
	if err := a.server.Git(ctx, a.source, "push", a.beside, "main"); err != nil {
		return 0, 0, err
	}
	git = time.Since(began)
	var command string
	for _, e := range a.server.Env {
		if value, ok := strings.CutPrefix(e, "GIT_SSH_COMMAND="); ok {
			command = value
		}
	}
	words := append(strings.Fields(command), "-T", "-p", strconv.Itoa(a.server.SSH), "hop3@127.0.0.1")
	began = time.Now()
	if out, err := a.server.Command(ctx, a.source, words[0], words[1:]...).CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("ssh: %w\n%s", err, out)
	}
	return git, time.Since(began), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
