package uwsgi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
	"github.com/abilian/hop3/hop3/sandbox"
)

// world is a runtime with an app whose release has these files.
type world struct {
	*testing.T
	home    string
	runtime hop3.Runtime
	launch  hop3.Launch
}

func newWorld(t *testing.T, files map[string]string) *world {
	t.Helper()
	home := t.TempDir()
	// Apps get to their directory without seeing what is beside it.
	for dir := home; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	box, err := sandbox.Open(sandbox.Options{Home: home})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, home: home, runtime: open(t, home, box)}
	app := filepath.Join(home, "apps", "shop")
	w.launch = hop3.Launch{
		ID:       hop3.ReleaseID{App: "shop", Number: 1},
		Dir:      filepath.Join(app, "releases", "1"),
		Env:      hop3.Env{"APP": "shop", "PATH": os.Getenv("PATH")},
		LogDir:   filepath.Join(app, "log"),
		AppDir:   app,
		Writable: []string{filepath.Join(app, "data")},
	}
	for name, text := range files {
		file := filepath.Join(w.launch.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		err := errors.Join(w.runtime.Stop(context.Background(), w.launch.ID, time.Second), w.runtime.Close(), box.Forget("shop"), box.Close())
		if err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, file := range []string{filepath.Join(w.launch.LogDir, w.launch.Processes[0].Type+".1.log"), filepath.Join(home, "run", "emperor", "emperor.log")} {
				text, _ := os.ReadFile(file)
				t.Logf("%s:\n%s", file, text)
			}
		}
	})
	return w
}

// start starts one instance of a process.
func (w *world) start(p hop3.Process) hop3.Instance {
	w.Helper()
	p.Count = 1
	w.launch.Processes = []hop3.Process{p}
	started, err := w.runtime.Start(w.Context(), w.launch)
	if err != nil {
		w.Fatal(err)
	}
	return started[0]
}

// get waits until an instance answers a request.
func (w *world) get(i hop3.Instance, path string) (status int, body string) {
	w.Helper()
	network, address := "tcp", i.Upstream
	if socket, ok := strings.CutPrefix(i.Upstream, "unix/"); ok {
		network, address = "unix", socket
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		res, err := client.Get("http://shop" + path)
		if err == nil {
			text, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil {
				w.Fatal(err)
			}
			return res.StatusCode, string(text)
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s does not answer: %v", i.Upstream, err)
		}
	}
}

// plugged skips a test where uWSGI has no plug-in for a type.
func plugged(t *testing.T, kind string) {
	t.Helper()
	i, err := find("", "")
	if err != nil {
		t.Skip(err)
	}
	for _, plugin := range plugins[kind] {
		if !i.has(plugin) {
			t.Skipf("uWSGI has no plug-in %s; tests/run installs %s", plugin, packages[kind])
		}
	}
}

const envApp = `import json, os
def app(environ, start_response):
    body = json.dumps([os.getuid(), dict(os.environ)]).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
`

// hostile are values that mean something to a shell, to uWSGI or to a file of
// its own.
var hostile = hop3.Env{
	"PERCENT": "100%d %(home) %%", "SHELL_": "$(id) ${HOME} `id` \\ ' \"", "LINES": "a\nb=c\r\n[uwsgi]\nexec = x", "AT": "@(/etc/passwd)",
	"EMPTY": "", "SPACES": "  a  ", "EQUALS": "a=b=c", "COMMENT": "a ; b # c", "UTF8": "é\U0001F600",
}

func TestServesWSGI(t *testing.T) {
	plugged(t, hop3.ProcessWSGI)
	w := newWorld(t, map[string]string{"app.py": envApp})
	w.launch.Env = w.launch.Env.Merge(hostile, hop3.Env{"UWSGI_THREADS": "2", "UWSGI_PROCESSES": "2"})
	i := w.start(hop3.Process{Type: hop3.ProcessWSGI, Module: "app:app", Command: "false"})
	if !strings.HasPrefix(i.Upstream, "unix/") {
		t.Errorf("the upstream is %s, want a unix socket", i.Upstream)
	}
	status, body := w.get(i, "/")
	var got struct {
		uid int
		env hop3.Env
	}
	if err := json.Unmarshal([]byte(body), &[]any{&got.uid, &got.env}); err != nil || status != http.StatusOK {
		t.Fatalf("%d, %v: %s", status, err, body)
	}
	for k, want := range w.launch.Env {
		if have, ok := got.env[k]; !ok || have != want {
			t.Errorf("%s is %q, want %q", k, have, want)
		}
	}
	if os.Getuid() == 0 && got.uid == 0 {
		t.Error("the app runs as root")
	}
	if info, err := os.Stat(strings.TrimPrefix(i.Upstream, "unix/")); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	for _, dir := range []string{"uwsgi-available", "run/emperor/orders"} {
		files, err := filepath.Glob(filepath.Join(w.home, dir, "shop_wsgi.1.*"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %v, %v", dir, files, err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s is %v, %v", file, info, err)
			}
		}
	}
	if target, err := os.Readlink(filepath.Join(w.home, "uwsgi-enabled", "shop_wsgi.1.ini")); err != nil || target != "../uwsgi-available/shop_wsgi.1.ini" {
		t.Errorf("the vassal is enabled as %q, %v", target, err)
	}
}

// TestIdleWorkersGo has workers end after a second without a request, and come
// back with the next.
func TestIdleWorkersGo(t *testing.T) {
	plugged(t, hop3.ProcessWSGI)
	w := newWorld(t, map[string]string{"app.py": envApp})
	w.launch.Env["UWSGI_IDLE"] = "1"
	i := w.start(hop3.Process{Type: hop3.ProcessWSGI, Module: "app:app", Command: "false"})
	workers := func() bool {
		all, err := procfs.All()
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(p procfs.Process) bool { return p.Parent == i.PID && !p.Dead })
	}
	for range 2 {
		if status, body := w.get(i, "/"); status != http.StatusOK {
			t.Errorf("%d: %s", status, body)
		}
		eventually(t, "the workers have gone", func() bool { return !workers() })
	}
	if list, err := w.runtime.Instances(t.Context(), w.launch.ID); err != nil || list[0].PID != i.PID || list[0].Restarts > 0 {
		t.Errorf("the instance was %+v and is %+v, %v", i, list, err)
	}
}

func TestServesAVirtualenv(t *testing.T) {
	plugged(t, hop3.ProcessWSGI)
	w := newWorld(t, map[string]string{"app.py": "import inside\napp = inside.app\n"})
	venv := filepath.Join(w.launch.AppDir, "releases", "1", "venv")
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", "--without-pip", venv).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	site, err := filepath.Glob(filepath.Join(venv, "lib", "python3*", "site-packages"))
	if err != nil || len(site) != 1 {
		t.Fatal(site, err)
	}
	if err := os.WriteFile(filepath.Join(site[0], "inside.py"), []byte(envApp), 0o644); err != nil {
		t.Fatal(err)
	}
	w.launch.Env["VIRTUAL_ENV"] = venv
	if status, body := w.get(w.start(hop3.Process{Type: hop3.ProcessWSGI, Module: "app:app", Command: "false"}), "/"); status != http.StatusOK {
		t.Errorf("%d: %s", status, body)
	}
}

// TestFallsBackToTheCommand has a virtual environment of a Python that uWSGI
// has no plug-in for.
func TestFallsBackToTheCommand(t *testing.T) {
	w := newWorld(t, map[string]string{"venv/pyvenv.cfg": "version = 3.4.1\n", "page": "by the command"})
	w.launch.Env["VIRTUAL_ENV"] = filepath.Join(w.launch.Dir, "venv")
	i := w.start(hop3.Process{Type: hop3.ProcessWSGI, Module: "app:app", Command: "python3 -m http.server --bind 127.0.0.1 $PORT"})
	if _, body := w.get(i, "/page"); body != "by the command" || !strings.HasPrefix(i.Upstream, "127.0.0.1:") {
		t.Errorf("%s answers %q", i.Upstream, body)
	}
}

func TestSaysWhyAModuleDoesNotLoad(t *testing.T) {
	plugged(t, hop3.ProcessWSGI)
	w := newWorld(t, map[string]string{"app.py": "raise Exception('no database')\n"})
	i := w.start(hop3.Process{Type: hop3.ProcessWSGI, Module: "app:app", Command: "false"})
	for deadline := time.Now().Add(20 * time.Second); i.LastExit == ""; time.Sleep(10 * time.Millisecond) {
		list, err := w.runtime.Instances(t.Context(), w.launch.ID)
		if err != nil || len(list) != 1 || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", list, err)
		}
		i = list[0]
	}
	if text, err := os.ReadFile(i.LogFile); err != nil || !strings.Contains(string(text), "no database") {
		t.Errorf("the log is %s, %v", text, err)
	}
	if !strings.HasPrefix(i.LastExit, "exit status ") {
		t.Errorf("it ended by %q", i.LastExit)
	}
}

func TestServesRack(t *testing.T) {
	plugged(t, hop3.ProcessRWSGI)
	w := newWorld(t, map[string]string{
		"config.ru": "run lambda { |env| [200, {'Content-Type' => 'text/plain'}, [\"#{env['PATH_INFO']} #{ENV['PERCENT']}\"]] }\n",
	})
	w.launch.Env = w.launch.Env.Merge(hostile)
	i := w.start(hop3.Process{Type: hop3.ProcessRWSGI, Module: "config.ru", Command: "false"})
	if status, body := w.get(i, "/some/path"); status != http.StatusOK || body != "/some/path "+hostile["PERCENT"] {
		t.Errorf("%d: %s", status, body)
	}
}

func TestServesPHP(t *testing.T) {
	plugged(t, hop3.ProcessPHP)
	w := newWorld(t, map[string]string{
		"public/index.php":  "<?php echo 'front ', $_SERVER['REQUEST_URI'], ' ', getenv('PERCENT');",
		"public/other.php":  "<?php echo 'other ', $_GET['a'];",
		"public/style.css":  "body {}",
		"config/secret.php": "<?php echo 'secret';",
	})
	w.launch.Env = w.launch.Env.Merge(hostile)
	i := w.start(hop3.Process{Type: hop3.ProcessPHP, Module: "public", Command: "false"})
	for path, want := range map[string]string{
		"/":                      "front / " + hostile["PERCENT"],
		"/article/7":             "front /article/7 " + hostile["PERCENT"],
		"/other.php?a=b":         "other b",
		"/style.css":             "body {}",
		"/../config/secret.php":  "front /../config/secret.php " + hostile["PERCENT"],
		"/%2e%2e/config/secret":  "front /%2e%2e/config/secret " + hostile["PERCENT"],
		"/index.php/path?and=us": "front /index.php/path?and=us " + hostile["PERCENT"],
	} {
		if status, body := w.get(i, path); body != want {
			t.Errorf("%s: %d, %q, want %q", path, status, body, want)
		}
	}
}

func TestServesJWSGI(t *testing.T) {
	plugged(t, hop3.ProcessJWSGI)
	w := newWorld(t, map[string]string{"App.java": `import java.util.HashMap;
public class App {
    public static Object[] serve(HashMap<String, Object> env) {
        HashMap<String, String> headers = new HashMap<>();
        headers.put("Content-Type", "text/plain");
        return new Object[] {200, headers, "java " + env.get("PATH_INFO")};
    }
}
`})
	if out, err := exec.Command("javac", "-d", w.launch.Dir, filepath.Join(w.launch.Dir, "App.java")).CombinedOutput(); err != nil {
		t.Skipf("javac: %v: %s", err, out)
	}
	i := w.start(hop3.Process{Type: hop3.ProcessJWSGI, Module: "App:serve"})
	if status, body := w.get(i, "/path"); status != http.StatusOK || body != "java /path" {
		t.Errorf("%d: %s", status, body)
	}
}
