package build_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/build"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func request(t *testing.T, files map[string]string) (hop3.BuildRequest, *hop3test.Lines) {
	t.Helper()
	lines := &hop3test.Lines{}
	req := hop3.BuildRequest{
		App: "blog", Source: t.TempDir(), CacheDir: t.TempDir(), LogFile: filepath.Join(t.TempDir(), "build.log"), Out: lines,
	}
	for name, text := range files {
		file := filepath.Join(req.Source, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return req, lines
}

func fallbacks() *build.Local {
	return &build.Local{Toolchains: []hop3.Toolchain{new(toolchains.Static), new(toolchains.Generic)}}
}

func web(command string) []hop3.Process {
	return []hop3.Process{{Type: hop3.ProcessWeb, Command: command, Count: 1}}
}

func TestLocal_LoadsEveryToolchainInItsOrder(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	local := new(build.Local)
	if err := local.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tc := range local.Toolchains {
		names = append(names, tc.Name())
	}
	if want := []string{"python", "ruby", "node", "php", "clojure", "go", "rust", "java", "dotnet", "elixir", "static", "generic"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestLocal_ChoosesByFilesThenByWhatIsDeclared(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   map[string]string
		options hop3.BuildOptions
		want    string
		ok      bool
	}{
		{"a page", map[string]string{"index.html": "x"}, hop3.BuildOptions{}, "static (index.html)", true},
		{"a page that a process serves", map[string]string{"index.html": "x"}, hop3.BuildOptions{Processes: web("run")}, "generic", true},
		{"a process alone", nil, hop3.BuildOptions{Processes: web("run")}, "generic", true},
		{"nothing", nil, hop3.BuildOptions{}, "Make sure you have one of: Procfile", false},
		{"forced", map[string]string{"index.html": "x"}, hop3.BuildOptions{Toolchain: "generic"}, "generic", true},
		{"forced, unknown", nil, hop3.BuildOptions{Toolchain: "cobol"}, "It has: static, generic", false},
	} {
		req, _ := request(t, c.files)
		req.Options = c.options
		reason, ok := fallbacks().Accept(t.Context(), req)
		if ok != c.ok || !strings.Contains(reason, c.want) {
			t.Errorf("%s: got %v, %q", c.name, ok, reason)
		}
	}
}

func TestLocal_RunsHooksAroundTheBuildAndKeepsALog(t *testing.T) {
	req, lines := request(t, nil)
	req.Options = hop3.BuildOptions{Processes: web("run"), Commands: []string{"echo build >> steps"}}
	req.Before = []string{"echo before >> steps"}
	req.After = []string{"echo after $NAME >> steps", "cat steps"}
	req.Env = hop3.Env{"NAME": "blog"}
	if _, err := fallbacks().Build(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	steps, _ := os.ReadFile(filepath.Join(req.Source, "steps"))
	if string(steps) != "before\nbuild\nafter blog\n" {
		t.Errorf("the steps were %q", steps)
	}
	log, _ := os.ReadFile(req.LogFile)
	for _, want := range []string{"# Build of blog", "# Builder: local", "# Status: SUCCESS", "-----> Generic app detected", "       after blog\n"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if !strings.HasSuffix(string(log), lines.String()) {
		t.Errorf("the log\n%s\nis not what was shown:\n%s", log, lines)
	}
}

func TestLocal_AFailedCommandFailsTheBuild(t *testing.T) {
	req, _ := request(t, nil)
	req.Options = hop3.BuildOptions{Processes: web("run")}
	req.After = []string{"exit 4"}
	_, err := fallbacks().Build(t.Context(), req)
	if hop3.CodeOf(err) != hop3.CodeDeploy || !strings.Contains(hop3.MessageOf(err), "`exit 4` failed: exit status 4") {
		t.Errorf("got %v", err)
	}
	log, _ := os.ReadFile(req.LogFile)
	if !strings.Contains(string(log), "# Status: FAILED") || !strings.Contains(string(log), "exit status 4") {
		t.Errorf("the log is\n%s", log)
	}
}

func TestLocal_NeverServesADirectoryOutsideTheSource(t *testing.T) {
	req, _ := request(t, map[string]string{"site/index.html": "x"})
	if err := os.Symlink("/etc", filepath.Join(req.Source, "out")); err != nil {
		t.Fatal(err)
	}
	for dir, ok := range map[string]bool{"site": true, "./site/": true, "out": false, "../": false, "/etc": false, "missing": false} {
		req.Options = hop3.BuildOptions{StaticDir: dir}
		artifact, err := fallbacks().Build(t.Context(), req)
		if (err == nil) != ok || ok && artifact.StaticRoot != "site" {
			t.Errorf("%s: got %q, %v", dir, artifact.StaticRoot, err)
		}
	}
}

// generator stands for a site generator written in some language.
type generator struct{ hop3.Toolchain }

func (generator) Name() string { return "generator" }

func (generator) Detect(src fs.FS) (string, bool) { return "site.md", true }

func (generator) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	err := b.Runner.Run(ctx, hop3.Command{Shell: "mkdir html && echo page > html/index.html"})
	return hop3.Artifact{Toolchains: []string{"generator"}}, err
}

func TestLocal_ServesWhatAnotherToolchainMade(t *testing.T) {
	req, _ := request(t, map[string]string{"site.md": "x"})
	req.Options.Processes = []hop3.Process{{Type: hop3.ProcessStatic, Command: "html", Count: 1}}
	artifact, err := (&build.Local{Toolchains: []hop3.Toolchain{generator{}}}).Build(t.Context(), req)
	if err != nil || artifact.StaticRoot != "html" {
		t.Errorf("got %+v, %v", artifact, err)
	}
}

// TestLocal_AnswersRequestsInOneWay has two languages that each offer to.
func TestLocal_AnswersRequestsInOneWay(t *testing.T) {
	req, _ := request(t, map[string]string{"index.php": "<?php", "package.json": `{"scripts":{"start":"node server.js"}}`, "package-lock.json": "{}"})
	req.Options.Commands = []string{"true"}
	a, err := (&build.Local{Toolchains: []hop3.Toolchain{new(toolchains.Node), new(toolchains.PHP)}}).Build(t.Context(), req)
	if err != nil || len(a.Processes) != 1 || a.Processes[0].Type != hop3.ProcessWeb {
		t.Errorf("it runs %+v, %v", a.Processes, err)
	}
}
