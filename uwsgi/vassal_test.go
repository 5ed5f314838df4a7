package uwsgi

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/supervisor"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// child is an instance of a process of an app, for render alone.
func child(p hop3.Process, env hop3.Env) supervisor.Child {
	c := supervisor.Child{
		ID: hop3.ReleaseID{App: "shop", Number: 7}, Process: p, Ordinal: 2,
		Launch: &hop3.Launch{Dir: "/home/hop3/apps/shop/releases/7", Env: env},
	}
	if p.Type == hop3.ProcessWeb {
		c.Port = 20001
	} else {
		c.Socket = "/home/hop3/run/emperor/sockets/0123456789abcdef"
	}
	return c
}

func TestRender(t *testing.T) {
	knobs := hop3.Env{
		"UWSGI_MAX_REQUESTS": "10", "UWSGI_LISTEN": "16", "UWSGI_PROCESSES": "3", "UWSGI_ENABLE_THREADS": "false",
		"UWSGI_LOG_X_FORWARDED_FOR": "true", "UWSGI_THREADS": "8", "UWSGI_ASYNCIO": "100", "UWSGI_IDLE": "60",
	}
	for name, c := range map[string]struct {
		kind  string
		child supervisor.Child
	}{
		"wsgi":        {hop3.ProcessWSGI, child(hop3.Process{Type: "wsgi", Module: "shop.wsgi:application"}, nil)},
		"wsgi_knobs":  {hop3.ProcessWSGI, child(hop3.Process{Type: "wsgi", Module: "shop.wsgi:application"}, knobs)},
		"rwsgi":       {hop3.ProcessRWSGI, child(hop3.Process{Type: "rwsgi", Module: "config.ru"}, nil)},
		"php":         {hop3.ProcessPHP, child(hop3.Process{Type: "php", Module: "public"}, nil)},
		"jwsgi":       {hop3.ProcessJWSGI, child(hop3.Process{Type: "jwsgi", Module: "com.example.App:serve"}, hop3.Env{"CLASSPATH": "target/classes:lib/a.jar"})},
		"daemon":      {daemon, child(hop3.Process{Type: "web", Command: "./shop --port $PORT"}, hop3.Env{"SECRET": "s3cret"})},
		"daemon_knob": {daemon, child(hop3.Process{Type: "worker", Command: "./work"}, knobs)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := render(c.kind, c.child)
			if err != nil {
				t.Fatal(err)
			}
			// Whether the file is there is the machine's business.
			got = strings.ReplaceAll(got, "jvm-classpath = "+uwsgiJar+"\n", "")
			golden := filepath.Join("testdata", name+".ini")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"owned.ini": "buffer-size = 4096\nattach-daemon = evil\n", "odd.ini": "just words\n", "expands.ini": "set = a @(exec://id)\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link.ini")); err != nil {
		t.Fatal(err)
	}
	wsgi := hop3.Process{Type: "wsgi", Module: "app:app"}
	for _, c := range []struct {
		process hop3.Process
		env     hop3.Env
		want    string
	}{
		{wsgi, hop3.Env{"UWSGI_THREADS": "many"}, `UWSGI_THREADS is "many", which is not a number`},
		{wsgi, hop3.Env{"UWSGI_PROCESSES": "-1"}, "not a number"},
		{wsgi, hop3.Env{"UWSGI_ENABLE_THREADS": "maybe"}, "neither true nor false"},
		{wsgi, hop3.Env{"UWSGI_EXEC_AS_ROOT": "rm -rf /"}, "UWSGI_EXEC_AS_ROOT has characters"},
		{wsgi, hop3.Env{"UWSGI_INCLUDE_FILE": "owned.ini"}, "owned.ini, line 2: the option attach-daemon is set by Hop3"},
		{wsgi, hop3.Env{"UWSGI_INCLUDE_FILE": "odd.ini"}, "odd.ini, line 1: expected <option> = <value>"},
		{wsgi, hop3.Env{"UWSGI_INCLUDE_FILE": "expands.ini"}, "cannot be written"},
		{wsgi, hop3.Env{"UWSGI_INCLUDE_FILE": "link.ini"}, "not a file of the release"},
		{wsgi, hop3.Env{"UWSGI_INCLUDE_FILE": "../../etc/passwd"}, "not a file of the release"},
		{hop3.Process{Type: "wsgi", Module: "app:app\nexec-as-user = id"}, nil, "cannot be written"},
		{hop3.Process{Type: "wsgi", Module: "$(SECRET)"}, nil, "cannot be written"},
		{hop3.Process{Type: "php", Module: "../other"}, nil, `"../other" is not in the release`},
		{hop3.Process{Type: "rwsgi", Module: "/../../x.ru"}, nil, "is not in the release"},
	} {
		ch := child(c.process, c.env)
		ch.Launch.Dir = dir
		_, err := render(c.process.Type, ch)
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %v: got %v, want %q", c.process, c.env, err, c.want)
		}
	}
}

// TestRenderKeepsToItsLines lets an app say anything at all: a file has the
// options that it has for an app that says nothing special, and no secret.
func TestRenderKeepsToItsLines(t *testing.T) {
	keys := func(text string) string {
		var out []string
		for line := range strings.Lines(text) {
			key, _, _ := strings.Cut(line, " = ")
			out = append(out, key)
		}
		return strings.Join(out, "\n")
	}
	plain, err := render(hop3.ProcessWSGI, child(hop3.Process{Type: "wsgi", Module: "app:app"}, hop3.Env{"UWSGI_X": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOf(rapid.OneOf(rapid.SampledFrom([]rune("%$()@{}[]=;#\n\r\t '\"\\aé")), rapid.Rune()))
		env := hop3.Env{"SECRET": "canary" + value.Draw(t, "secret"), "UWSGI_X": value.Draw(t, "option")}
		got, err := render(hop3.ProcessWSGI, child(hop3.Process{Type: "wsgi", Module: value.Draw(t, "module")}, env))
		if err == nil && (keys(got) != keys(plain) || strings.Contains(got, "canary")) {
			t.Fatalf("%q", got)
		}
	})
}
