package hop3test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/build"
	"github.com/abilian/hop3/hop3/manifest"
)

// App is a sample app, copied and built.
type App struct {
	Name     string
	Dir      string // its release's directory
	Cache    string
	Manifest *manifest.Manifest
	Artifact hop3.Artifact
	Output   *Lines // of the build
}

// BuildApp copies the sample in dir and builds it with the local builder and
// the toolchains given. It fails the test when the build fails.
func BuildApp(t *testing.T, cache, dir string, toolchains ...hop3.Toolchain) *App {
	t.Helper()
	app := newApp(t, cache, dir)
	artifact, err := app.builder(toolchains...).Build(t.Context(), app.request())
	if err != nil {
		t.Fatalf("building %s: %v\n%s", app.Name, err, app.Output)
	}
	app.Artifact = artifact
	return app
}

func newApp(t *testing.T, cache, dir string) *App {
	t.Helper()
	release := filepath.Join(t.TempDir(), "release")
	if err := os.CopyFS(release, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return &App{
		Name:     filepath.Base(dir),
		Dir:      release,
		Cache:    cache,
		Manifest: loadManifest(t, release),
		Output:   &Lines{},
	}
}

func loadManifest(t *testing.T, dir string) *manifest.Manifest {
	t.Helper()
	m, err := manifest.Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (a *App) builder(toolchains ...hop3.Toolchain) hop3.Builder {
	return &build.Local{Toolchains: toolchains}
}

func (a *App) request() hop3.BuildRequest {
	return hop3.BuildRequest{
		App:      a.Name,
		Source:   a.Dir,
		CacheDir: a.Cache,
		LogFile:  filepath.Join(filepath.Dir(a.Dir), "build.log"),
		Env:      a.Manifest.Env.Static,
		Options:  a.Manifest.Build,
		Before:   a.Manifest.BeforeBuild,
		After:    a.Manifest.AfterBuild,
		Out:      a.Output,
	}
}

// Serves starts the app, checks that its front page contains want, and stops
// it. Of a static app the file is checked.
func (a *App) Serves(t *testing.T, want string) {
	t.Helper()
	command := a.web()
	if command == "" {
		page, err := os.ReadFile(filepath.Join(a.Dir, a.Artifact.StaticRoot, "index.html"))
		if err != nil || !strings.Contains(string(page), want) {
			t.Fatalf("index.html is %q (%v), want %q in it", page, err, want)
		}
		return
	}
	port := freePort(t)
	output, stop := a.start(t, command, port)
	defer stop()
	body, err := get(t.Context(), fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil || !strings.Contains(body, want) {
		stop()
		text, _ := os.ReadFile(output)
		t.Fatalf("`%s` answers %q (%v), want %q in it\n%s", command, body, err, want, text)
	}
}

// web returns the command that answers requests, as a deploy chooses it: the
// artifact's, which may stand for a declared one, else the manifest's.
func (a *App) web() string {
	for _, p := range append(append([]hop3.Process{}, a.Artifact.Processes...), a.Manifest.Processes...) {
		if hop3.ServesHTTP(p.Type) {
			return p.Command
		}
	}
	return ""
}

// start runs a command as a runtime would, its output going to a file.
func (a *App) start(t *testing.T, command string, port int) (output string, stop func()) {
	t.Helper()
	output = filepath.Join(t.TempDir(), "output")
	f, err := os.Create(output)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := strings.Join(append(append([]string{}, a.Artifact.PathPrepend...), os.Getenv("PATH")), ":")
	env := a.Manifest.Env.Static.Merge(a.Artifact.Env, hop3.Env{
		"PATH": path, "HOME": t.TempDir(), "LANG": "C.UTF-8", "APP": a.Name, "RELEASE": "1", "PORT": fmt.Sprint(port),
	})
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = a.Dir, env.Environ(), f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	return output, func() {
		if stopped {
			return
		}
		stopped = true
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		hard := time.AfterFunc(5*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait()
		hard.Stop()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}

// get asks until there is an answer, for at most half a minute.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		body, err := getOnce(ctx, client, url)
		if err == nil || ctx.Err() != nil {
			return body, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func getOnce(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
