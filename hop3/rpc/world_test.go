package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/auth"
	"github.com/abilian/hop3/hop3/backup"
	"github.com/abilian/hop3/hop3/certs"
	"github.com/abilian/hop3/hop3/cli"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/disk"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/routing"
	"github.com/abilian/hop3/hop3/rpc"
	"github.com/abilian/hop3/hop3/store"
	"github.com/abilian/hop3/hop3/stream"
	"github.com/abilian/hop3/hop3/supervisor"
)

// world is a server on loopback with a real database, disk and supervisor. Apps
// are copies of the test binary; see TestMain. Nothing is built, and there is
// no git.
type world struct {
	t        *testing.T
	platform *platform.Platform
	handler  *rpc.Handler
	server   *httptest.Server
	admin    string // tokens
	user     string
}

const password = "correct horse"

func newWorld(t *testing.T) *world {
	t.Helper()
	home := t.TempDir()
	for _, dir := range []string{"apps", "run"} {
		if err := os.Mkdir(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	db, err := store.Open(t.Context(), "", home)
	must(t, err)
	runtime, err := supervisor.New(supervisor.Options{RunDir: filepath.Join(home, "run")})
	must(t, err)
	keys, err := auth.New(bytes.Repeat([]byte("k"), auth.MinSecret), 0)
	must(t, err)
	backups, err := backup.Open(backup.Options{Dir: filepath.Join(home, "backups"), Version: "1.2.3"})
	must(t, err)
	p := &platform.Platform{
		Store: db, Runtime: runtime, Proxy: routing.NewTable(), Repos: noGit{}, Prober: prober{}, Auth: keys, Files: disk.Files{},
		Builders:     func() []hop3.Builder { return []hop3.Builder{noBuild{}} },
		Certs:        certs.New(certs.Options{AppOf: func(string) (string, bool) { return "", false }, Dir: t.TempDir()}),
		Backups:      backups,
		CopyDatabase: func(ctx context.Context, file string) error { return store.Backup(ctx, "", home, file) },
		Notifier:     deaf{}, Logger: zap.NewNop(),
		Settings: platform.Settings{
			Home: home, BaseDomain: "localhost", StartTimeout: 20 * time.Second, StopGrace: 5 * time.Second, DrainTimeout: time.Second,
			KeepReleases: 5, ConcurrentBuilds: 2, BuildTimeout: time.Minute, WaitingBuilds: 10, HTTPPort: 80, SSHPort: 2222,
		},
	}
	w := &world{t: t, platform: p}
	w.admin = w.account("root", true)
	w.user = w.account("alice", false)
	streams := &stream.Hub{}
	w.handler = &rpc.Handler{
		Platform: p, Streams: streams, Version: "1.2.3", Logger: zap.NewNop(), Uploads: rpc.Uploads{Dir: t.TempDir()},
		Commands: command.New(command.Server{Platform: p, Streams: streams, Version: "1.2.3", Plugins: func() []command.Plugin { return nil }}),
	}
	w.server = httptest.NewServer(w.handler)
	t.Cleanup(func() {
		w.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.StopAll(ctx); err != nil {
			t.Error(err)
		}
		if err := p.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := runtime.Close(); err != nil {
			t.Error(err)
		}
		db.Close()
	})
	return w
}

func (w *world) account(name string, admin bool) (token string) {
	w.t.Helper()
	host := platform.Actor{Admin: true}
	_, err := w.platform.AddUser(w.t.Context(), host, hop3.User{Username: name, Email: name + "@example.org", Admin: admin}, password)
	must(w.t, err)
	token, err = w.platform.IssueToken(w.t.Context(), host, name)
	must(w.t, err)
	return token
}

// post sends a body to /rpc and returns the status and the answer.
func (w *world) post(token, body string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.server.URL+"/rpc", strings.NewReader(body))
	must(w.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	must(w.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return resp.StatusCode, strings.TrimSpace(string(answer))
}

// hop3 runs a command line of the client in dir, as the administrator.
func (w *world) hop3(dir string, args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	w.t.Chdir(dir)
	w.t.Setenv("HOP3_CONFIG_DIR", filepath.Join(w.t.TempDir(), "config"))
	w.t.Setenv("HOP3_API_URL", w.server.URL)
	w.t.Setenv("HOP3_API_TOKEN", w.admin)
	var out, errs bytes.Buffer
	code = cli.Main(args, cli.Stdio{In: strings.NewReader(""), Out: &out, Err: &errs}, nil)
	return code, out.String(), errs.String()
}

// project returns a directory with an app that says what is in its file
// "greeting".
func (w *world) project(greeting string) string {
	w.t.Helper()
	dir := w.t.TempDir()
	self, err := os.Executable()
	must(w.t, err)
	files := map[string]string{
		"Procfile":  fmt.Sprintf("web: exec env HOP3_TEST_APP=1 %s\n", self),
		"greeting":  greeting,
		"hop3.toml": "[metadata]\nid = \"blog\"\n",
	}
	for name, content := range files {
		must(w.t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMain lets the test binary be an app.
func TestMain(m *testing.M) {
	if os.Getenv("HOP3_TEST_APP") == "" {
		os.Exit(m.Run())
	}
	greeting, err := os.ReadFile("greeting")
	if err != nil {
		panic(err)
	}
	fmt.Println("serving", string(greeting))
	err = http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s", greeting)
		fmt.Println("asked for", r.URL.Path)
	}))
	panic(err)
}

// deaf takes every notice.
type deaf struct{}

func (deaf) Send(context.Context, hop3.NotifyTarget, hop3.Notice) error { return nil }

type noBuild struct{}

func (noBuild) Name() string { return "none" }

func (noBuild) Accept(context.Context, hop3.BuildRequest) (string, bool) { return "everything", true }

func (noBuild) Build(_ context.Context, req hop3.BuildRequest) (hop3.Artifact, error) {
	req.Out.Log(hop3.LogLine{Text: "-----> Nothing to build, naïvement", Color: "green", Level: 0})
	if _, err := os.Stat(filepath.Join(req.Source, "broken")); err == nil {
		return hop3.Artifact{}, hop3.Errorf(hop3.CodeDeploy, "the build is broken")
	}
	return hop3.Artifact{}, nil
}

type noGit struct{}

func (noGit) Ensure(context.Context, string) error                { return nil }
func (noGit) Ref(context.Context, string, string) (string, error) { return "", nil }
func (noGit) Refs(context.Context, string) (map[string]string, error) {
	return nil, nil
}
func (noGit) Changes(context.Context, string, string, string, int) ([]hop3.FileChange, int, error) {
	return nil, 0, nil
}

func (noGit) Stored(context.Context, string, string, hop3.Output) (hop3.Source, error) {
	return nil, hop3.Errorf(hop3.CodeNotFound, "there is no commit")
}

func (noGit) Fetch(context.Context, string, string, string, hop3.Output) (string, string, error) {
	return "", "", hop3.Errorf(hop3.CodeNotFound, "there is no commit")
}
func (noGit) Complete(context.Context, string, string, string) error         { return nil }
func (noGit) MoveRef(context.Context, string, hop3.RefMove) error            { return nil }
func (noGit) Contains(context.Context, string, string, string) (bool, error) { return false, nil }

func (noGit) Tidy(context.Context, string) error { return nil }

func (noGit) SetHead(context.Context, string, string) error { return nil }

// prober waits until something answers HTTP.
type prober struct{}

func (prober) PortHolder(hop3.Port) (string, error) { return "", nil }

func (prober) LowestPort(bool) int { return 1024 }

func (prober) Probe(context.Context, string, string, hop3.HealthCheck) error { return nil }

func (prober) Diagnose(hop3.Instance) string { return "" }

func (prober) Wait(ctx context.Context, r hop3.Readiness) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	instances, err := r.Instances(ctx)
	if err != nil {
		return err
	}
	for _, i := range instances {
		for i.Upstream != "" {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.Upstream, nil)
			if err != nil {
				return err
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
				break
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return hop3.Errorf(hop3.CodeDeploy, "%s.%d does not answer", i.Type, i.Ordinal)
			}
		}
	}
	return nil
}
