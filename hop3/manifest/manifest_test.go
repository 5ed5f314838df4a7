package manifest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/manifest"
)

func load(t *testing.T, files map[string]string) (*manifest.Manifest, error) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return manifest.Load(fsys)
}

func mustLoad(t *testing.T, files map[string]string) *manifest.Manifest {
	t.Helper()
	m, err := load(t, files)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// show is a manifest as text: all that is exported of it.
func show(t *testing.T, m *manifest.Manifest) string {
	t.Helper()
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNoFilesDeclareNothing(t *testing.T) {
	if m := mustLoad(t, nil); len(m.Processes) != 0 || m.AllowHTTP {
		t.Errorf("got %+v", m)
	}
}

func TestProcfile(t *testing.T) {
	m := mustLoad(t, map[string]string{"Procfile": "# comment\r\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\n\nworker : run worker\n" +
		"prebuild: echo 1\npostbuild: echo 2\nprerun: echo 3\nrelease: migrate\ncron: */5 0 * * 1-5 clean * up\n"})
	want := []hop3.Process{
		{Type: "web", Command: "gunicorn app:app --bind 0.0.0.0:$PORT", Count: 1},
		{Type: "worker", Command: "run worker", Count: 1},
	}
	if !reflect.DeepEqual(m.Processes, want) || !reflect.DeepEqual(m.Build.Processes, want) {
		t.Errorf("Processes = %+v", m.Processes)
	}
	if want := []hop3.CronEntry{{Name: "cron.1", Schedule: "*/5 0 * * 1-5", Command: "clean * up"}}; !reflect.DeepEqual(m.Cron, want) {
		t.Errorf("Cron = %+v", m.Cron)
	}
	hooks := [][]string{m.BeforeBuild, m.AfterBuild, m.BeforeRun, m.Release}
	if !reflect.DeepEqual(hooks, [][]string{{"echo 1"}, {"echo 2"}, {"echo 3"}, {"migrate"}}) {
		t.Errorf("hooks = %q", hooks)
	}
}

func TestProcfile_MistakesAreNamedTogether(t *testing.T) {
	_, err := load(t, map[string]string{"hop3/Procfile": "web: a\nweb: b\nno colon\nwsgi: x:y\nempty:\n../etc: x\ncron: * * * 13 * x\n", "Procfile": "web: not read"})
	for _, want := range []string{
		"Invalid hop3/Procfile:", "line 2: web is declared already on line 1", "line 3: expected '<type>: <command>', found \"no colon\"",
		"line 4: found both 'wsgi' and 'web'", "line 5: empty has no command", "line 6: \"../etc\" cannot be a process type",
		"line 7: Invalid cron pattern: \"13\" is not a month",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("code %s", hop3.CodeOf(err))
	}
}

const full = `
[metadata]
id = "blog"

[build]
builder = "Local"
toolchain = "python"
static-dir = "dist"
before-build = "one"
build = ["two", "three"]
after-build = ["four"]
packages = ["libpq-dev"]
node-version = "22"
ignore = ["*.tmp"]

[run]
start = ["migrate", "serve"]
before-run = "prepare"
start-timeout = 2.5
packages = ["curl"]
healthcheck = "/old"
healthcheck-timeout = 7

[run.workers]
queue = "work"

[healthcheck]
path = "/up"
contains = "ok"
interval = 10
retries = 3

[env]
DEBUG = false
RATE = 1.50
NAME = "blog"
SECRET = { generate = "hex", length = 16, prefix = "s-", display = true }
HOST = { key = "hostname" }

[env.computed]
URL = "https://${NAME}"

[port]
web = 8000
admin = { container = 9000, public = false }

[[ports]]
number = 2525
source = "10.1.2.3/8"

[domains]
list = ["WWW.Example.org."]

[deploy]
allow-http = true

[scaling]
queue = 0

[scaling.web]
count = 3
min = 2
max = 5
target-concurrency = 20
sleep-after = "15m"

[limits]
memory = "512M"
cpu = 1.5
processes = 50

[backup]
paths = ["data"]
`

func TestHop3TOML(t *testing.T) {
	m := mustLoad(t, map[string]string{"hop3.toml": full, "Procfile": "wsgi: app:app\nclock: tick\nprerun: hidden\n"})
	want := &manifest.Manifest{
		Builder: "local",
		Build: hop3.BuildOptions{
			Toolchain: "python", StaticDir: "dist", NodeVersion: "22", Commands: []string{"two", "three"}, Packages: []string{"libpq-dev", "curl"},
		},
		BeforeBuild: []string{"one"}, AfterBuild: []string{"four"}, BeforeRun: []string{"prepare"},
		Processes: []hop3.Process{
			{Type: "clock", Command: "tick", Count: 1}, {Type: "web", Command: "migrate && serve", Count: 3}, {Type: "queue", Command: "work"},
		},
		StartTimeout: 2500 * time.Millisecond,
		Health:       hop3.HealthCheck{Path: "/up", Contains: "ok", Interval: 10 * time.Second, Timeout: 7 * time.Second, Retries: 3},
		Env: hop3.EnvSection{
			Static:    hop3.Env{"DEBUG": "false", "RATE": "1.50", "NAME": "blog"},
			Generated: map[string]hop3.Generate{"SECRET": {Kind: "hex", Length: 16, Prefix: "s-", Display: true}},
			Computed:  hop3.Env{"URL": "https://${NAME}"},

			References: map[string]hop3.Reference{"HOST": {Fact: "hostname"}},
		},
		Domains: []string{"www.example.org"}, AllowHTTP: true,
		Ports:   []hop3.Port{{Number: 2525, Protocol: "tcp", Source: "10.0.0.0/8"}},
		Limits:  hop3.Limits{Memory: 512 << 20, CPU: 1.5, Processes: 50},
		Scaling: map[string]hop3.Scaling{"web": {Min: 2, Max: 5, TargetConcurrency: 20, SleepAfter: 15 * time.Minute}},
		Backup:  hop3.BackupPolicy{Paths: []string{"data"}},
	}
	want.Build.Processes = want.Processes
	if got, want := show(t, m), show(t, want); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestHop3TOML_MistakesAreNamedTogetherWithTheirLines(t *testing.T) {
	_, err := load(t, map[string]string{"hop3.toml": `[build]
tolchain = "python"
toolchain = "pyton"
static-dir = "../.."
before_build = "x"
[run]
start-timeout = "soon"
workers = { web = "a", wsgi = "b" }
[[ports]]
number = 80
[[ports]]
number = 99999
[env]
KEY = "ghp_0123456789"
DB = "postgres://u:p@host/db"
1BAD = "x"
S = { generate = "magic" }
R = { from = "db" }
[domains]
list = ["a b"]
[limit]
`})
	for _, want := range []string{
		"Invalid hop3.toml configuration:\n  - build -> tolchain (line 2): Unknown field 'tolchain'; did you mean 'toolchain'? Allowed here: after-build, before-build",
		"  - build -> toolchain (line 3): \"pyton\" is not a toolchain; did you mean 'python'?",
		"  - build -> static-dir (line 4): ",
		"  - build -> before_build (line 5): Unknown field 'before_build'; did you mean 'before-build'?",
		"  - run -> start-timeout (line 7): expected a number, found a string",
		"  - run -> workers (line 8): found 'web' and 'wsgi'",
		"  - ports -> 0 -> number (line 10): ",
		"  - ports -> 1 -> number (line 12): 99999 is not between 1 and 65535",
		"  - env -> KEY (line 14): this looks like a secret (it begins with ghp_)",
		"  - env -> DB (line 15): this looks like a secret (a URL with a password)",
		"  - env -> 1BAD (line 16): ",
		"  - env -> S -> generate (line 17): \"magic\" is not one of hex",
		"  - env -> R (line 18): 'key' is missing",
		"  - domains -> list (line 20): \"a b\" is not a valid host name",
		"  - limit (line 21): Unknown field 'limit'; did you mean 'limits'?",
		"https://hop3.cloud/reference/config/",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

func TestHop3TOML_SyntaxErrorsHaveTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"[run]\nstart = \n":         "(line 2)",
		"[run]\n[run]\n":            "(line 2)",
		"a = 1\na = 2\n":            "(line 2)",
		"[run]\nstart = \"\xff\"\n": "Invalid hop3.toml configuration:",
	} {
		_, err := load(t, map[string]string{"hop3.toml": text})
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestFilesOfAbsurdSizeAreRefused(t *testing.T) {
	for _, name := range []string{"hop3.toml", "Procfile"} {
		_, err := load(t, map[string]string{name: strings.Repeat("#", 1<<20)})
		if hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A program that is called hop3 is no directory with an app's files in it.
func TestAFileCalledHop3(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hop3"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Load(os.DirFS(dir)); err != nil {
		t.Error(err)
	}
}

func TestDeepKeysAreReadInNoTime(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("a.", 120_000) + "a = 1",
		"[" + strings.Repeat("a.", 120_000) + "a]",
		"a = " + strings.Repeat("{a = ", 40_000) + "1" + strings.Repeat("}", 40_000),
		strings.Repeat("[[a.b]]\n", 30_000),
	} {
		began := time.Now()
		_, err := load(t, map[string]string{"hop3.toml": text})
		if took := time.Since(began); err == nil || took > 10*time.Second {
			t.Errorf("%.20s…: %v after %s", text, err, took)
		}
	}
}
