package nix

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

const store = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-blog"

func TestResult(t *testing.T) {
	for _, c := range []struct {
		name     string
		programs []string
		runtime  string
		declared []hop3.Process
		want     []hop3.Process
		path     []string
		err      string
	}{
		{name: "nothing"},
		{name: "one program", programs: []string{"serve"}, want: []hop3.Process{{Type: "web", Command: store + "/bin/serve"}}, path: []string{store + "/bin"}},
		{name: "the app's name", programs: []string{"a", "shop"}, want: []hop3.Process{{Type: "web", Command: store + "/bin/shop"}}, path: []string{store + "/bin"}},
		{name: "web", programs: []string{"shop", "web"}, want: []hop3.Process{{Type: "web", Command: store + "/bin/web"}}, path: []string{store + "/bin"}},
		{name: "any of several", programs: []string{"a", "b"}, path: []string{store + "/bin"}},
		{name: "what is declared comes first", programs: []string{"web"}, declared: []hop3.Process{{Type: "wsgi"}}, path: []string{store + "/bin"}},
		{name: "runtime.json", programs: []string{"web"}, runtime: `{"workers": {"worker": "w", "web": "v"}, "path": ["/nix/store/x/bin"]}`,
			declared: []hop3.Process{{Type: "worker"}}, want: []hop3.Process{{Type: "web", Command: "v"}}, path: []string{"/nix/store/x/bin", store + "/bin"}},
		{name: "no JSON", runtime: `{`, err: "is not what it should be"},
		{name: "another type", runtime: `{"workers": []}`, err: "is not what it should be"},
		{name: "mistakes", runtime: `{"workers": {"we b": "x", "web": " "}, "env": {"A B": "x"}, "path": ["/nix/store/../etc", "/tmp"]}`,
			err: `"we b" cannot be a process type's name; the command of the worker "web" has to be one line; `},
	} {
		r := &result{path: store, programs: c.programs}
		var err error
		if c.runtime != "" {
			err = r.parse([]byte(c.runtime))
		}
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		a := r.artifact(hop3.BuildRequest{App: "shop", Options: hop3.BuildOptions{Processes: c.declared}})
		if err != nil || !reflect.DeepEqual(a.Processes, c.want) || !reflect.DeepEqual(a.PathPrepend, c.path) {
			t.Errorf("%s: %+v, %v", c.name, a, err)
		}
	}
}

func TestStorePaths(t *testing.T) {
	other := "/nix/store/zyxwvsrqpnmlkjihgfdcba9876543210-python3-3.12"
	a := hop3.Artifact{
		Toolchains: []string{"nix"}, PathPrepend: []string{store + "/bin"}, Env: hop3.Env{"LIB": other + "/lib"},
		Processes: []hop3.Process{{Command: "exec " + other + "/bin/python " + store + "/app.py"}, {Command: "/nix/store/no-hash/x"}},
	}
	if got := storePaths(a); !reflect.DeepEqual(got, []string{store, other}) {
		t.Errorf("it needs %q", got)
	}
	a.Toolchains = []string{"python"}
	if got := storePaths(a); got != nil {
		t.Errorf("what another builder made needs %q", got)
	}
}

func TestOnlyResult(t *testing.T) {
	for target, want := range map[string]string{store: "", "/etc": "not in its store", store + "/../../etc": "not in its store"} {
		link := filepath.Join(t.TempDir(), root)
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		path, err := onlyResult(link)
		if (err == nil) != (want == "") || err == nil && path != target || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", target, path, err)
		}
	}
}

func TestCheckTemplate(t *testing.T) {
	for name, want := range map[string]string{
		"":         "",
		"php-app":  "this server makes no hop3.nix from templates",
		"php-apps": `"php-apps" is no template of [nix]`,
	} {
		err := checkTemplate(hop3.NixOptions{Template: name})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
