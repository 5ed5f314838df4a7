package cli

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/archive"
	"github.com/abilian/hop3/hop3/command"
)

func newProgram(t *testing.T, env map[string]string) *program {
	t.Helper()
	if env["HOP3_CONFIG_DIR"] == "" {
		env["HOP3_CONFIG_DIR"] = t.TempDir()
	}
	p := &program{
		Stdio:  Stdio{In: strings.NewReader(""), Out: new(bytes.Buffer), Err: new(bytes.Buffer)},
		getenv: func(k string) string { return env[k] },
		dir:    t.TempDir(),
	}
	p.printer = newPrinter(p.Stdio, p.getenv)
	var err error
	if p.settings, err = loadSettings(p.getenv); err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFlagsAnywhereButInPrograms(t *testing.T) {
	for line, want := range map[string]string{
		"apps --json":                     "apps|json",
		"-c prod logs -n 20 -v":           "logs -n 20|context=prod v=2",
		"env set --app shop A=1 -q":       "env set A=1|app=shop v=0",
		"env set A=1 --app=shop":          "env set A=1|app=shop v=1",
		"run python -c x --app y -v":      "run python -c x --app y -v|v=1",
		"--app x app run -v ls -a --help": "app run ls -a --help|app=x v=2",
		"run --app x --input hi cat -c":   "run --input hi cat -c|app=x v=1",
		"run -- -weird --json":            "run -- -weird --json|v=1",
		"env set -- -v":                   "env set -- -v|v=1",
		"app destroy --confirm x -y":      "app destroy|confirm=x yes v=1",
		"app destroy --force":             "app destroy|yes v=1",
		"cert renew --force shop -q":      "cert renew --force shop|v=0",
		"--force cert renew":              "cert renew|yes v=1",
	} {
		f, err := parseFlags(strings.Fields(line), func(string) string { return "" })
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		got := strings.Join(f.words, " ") + "|"
		for _, part := range []string{pair("app", f.app), pair("context", f.context), pair("confirm", f.confirm), on("json", f.json), on("yes", f.yes)} {
			if part != "" {
				got += part + " "
			}
		}
		if !f.json {
			got += fmt.Sprintf("v=%d", f.verbosity)
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	if _, err := parseFlags([]string{"logs", "--app"}, os.Getenv); exitCode(err) != api.ExitUsage {
		t.Errorf("--app without a value: %v", err)
	}
}

func pair(name, value string) string {
	if value == "" {
		return ""
	}
	return name + "=" + value
}

func on(name string, set bool) string {
	if set {
		return name
	}
	return ""
}

func TestTheClientKnowsWhichCommandsTakeAnApp(t *testing.T) {
	server := command.New(command.Server{}).AppNames()
	if ours := slices.Sorted(maps.Keys(scoped)); !slices.Equal(ours, server) {
		t.Errorf("the client has %v\nthe server %v", ours, server)
	}
}

func TestWhichAppIsMeant(t *testing.T) {
	env := map[string]string{}
	p := newProgram(t, env)
	expect := func(want string) {
		t.Helper()
		if app, err := p.resolveApp(); app != want || err != nil {
			t.Errorf("%q, %v; want %q", app, err, want)
		}
	}
	if _, err := p.resolveApp(); exitCode(err) != api.ExitNotFound {
		t.Errorf("nothing says which: %v", err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"remote", "add", "hop3", "ssh://hop3@host:2222/fromgit.git"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = p.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	expect("fromgit")
	write(t, filepath.Join(p.dir, "hop3.toml"), "[metadata]\nid = \"fromid\"\n")
	expect("fromid")
	write(t, filepath.Join(p.dir, "hop3.toml"), "[metadata]\nid = \"fromid\"\n[cli]\napp = \"fromcli\"\n")
	expect("fromcli")
	write(t, filepath.Join(p.dir, useFile), "fromuse\n")
	expect("fromuse")
	p.dir = filepath.Join(p.dir, "deeper", "still")
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	expect("fromuse")
	env["HOP3_APP"] = "fromenv"
	expect("fromenv")
	p.flags.app = "fromflag"
	expect("fromflag")
}

func TestTheAppOfARemote(t *testing.T) {
	for remote, want := range map[string]string{
		"ssh://hop3@host:2222/blog": "blog", "ssh://host/blog.git": "blog", "hop3@host:blog": "blog", "hop3@host:blog.git": "blog",
		"hop3@host:dir/blog.git": "blog", "https://host/x/blog.git": "blog", "": "", "nonsense": "", "ssh://host": "",
	} {
		if got := appOfRemote(remote); got != want {
			t.Errorf("%s: %q, want %q", remote, got, want)
		}
	}
}

func TestAppGoesBehindTheCommand(t *testing.T) {
	p := newProgram(t, map[string]string{"HOP3_APP": "x"})
	for line, want := range map[string]string{
		"env set A=1": "env set --app x A=1", "logs -n 5": "logs --app x -n 5", "ps scale web=2": "ps scale --app x web=2",
		"app list": "app list", "run ls -a": "run --app x ls -a", "user list": "user list",
	} {
		if got, err := p.addApp(strings.Fields(line)); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v; want %s", line, got, err, want)
		}
	}
}

func TestTokensAreKeptPrivate(t *testing.T) {
	p := newProgram(t, map[string]string{})
	if err := p.remember("https://Host.example", "secret"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.settings.dir, credentialsFile)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info.Mode(), err)
	}
	again := newProgram(t, map[string]string{"HOP3_CONFIG_DIR": p.settings.dir})
	if server, err := again.server(); server != "https://Host.example" || err != nil {
		t.Errorf("the server is %q, %v", server, err)
	}
	if token := get(again.settings.credentials, "servers", "https://host.example:443", "token"); token != "secret" {
		t.Errorf("the token is %q", token)
	}
}

func TestWhatIsDeployed(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"app.py", "static/a.css", "static/big.bin", "static/keep/big.bin", "node_modules/x/y.js", ".git/config", "a/.venv/x", "x.pyc",
		"data/1", "docs/data/2", "tmp/a/b.log", "tmp/b.log", ".env",
	} {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), name)
	}
	write(t, filepath.Join(dir, "hop3.toml"), `[build]
ignore = ["*.bin", "!static/keep/*.bin", "/data/", "tmp/**/*.log"]
`)
	for name, target := range map[string]string{"link": "app.py", "out": "../elsewhere", "root": "/etc/passwd"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "app.py"), 0o700); err != nil {
		t.Fatal(err)
	}
	packed, err := packProject(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	want := ".env app.py docs/data/2 hop3.toml link static/a.css static/keep/big.bin"
	if got := strings.Join(packed.names, " "); got != want {
		t.Errorf("packed %s\nwant   %s", got, want)
	}
	content, err := os.ReadFile(packed.Name())
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.FromReader(bytes.NewReader(content), t.TempDir(), archive.Standard)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	into := t.TempDir()
	if err := a.CheckOut(t.Context(), into); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(into, "link")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the script is %v, %v", info, err)
	}
}

func TestAnEmptyDirectoryIsNotDeployed(t *testing.T) {
	if _, err := packProject(t.TempDir(), ""); exitCode(err) != api.ExitUsage {
		t.Errorf("%v", err)
	}
}

func TestTables(t *testing.T) {
	headers, rows := []string{"Name", "Count"}, [][]any{{"blögs", 2}, {"x\x1b[2J\n", nil}}
	plain := "Name   Count\nblögs  2\nx[2J\n"
	if got := table(headers, rows, false); got != plain {
		t.Errorf("%q, want %q", got, plain)
	}
	boxed := "" +
		"┌───────┬───────┐\n" +
		"│ Name  │ Count │\n" +
		"├───────┼───────┤\n" +
		"│ blögs │ 2     │\n" +
		"│ x[2J  │       │\n" +
		"└───────┴───────┘\n"
	if got := table(headers, rows, true); got != boxed {
		t.Errorf("\n%swant\n%s", got, boxed)
	}
}

func TestNothingReachesTheTerminalButText(t *testing.T) {
	if got := clean("a\x1b]0;title\x07b\r\u009bc\td\n"); got != "a]0;titlebc\td\n" {
		t.Errorf("%q", got)
	}
}

func TestACanaryGoesWithTheDeploy(t *testing.T) {
	p := newProgram(t, map[string]string{})
	for _, flag := range []string{"--canary", "--canary=20% for 10m"} {
		o, err := p.deployArgs([]string{"-e", "A=1", flag, "--no-stream"})
		if words := o.words("blog"); err != nil || !slices.Equal(words, []string{"deploy", "--app", "blog", "--no-stream", flag}) || o.dir != p.dir {
			t.Errorf("%q, %v", words, err)
		}
	}
}
