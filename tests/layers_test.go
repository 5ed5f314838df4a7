package tests

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	modulePath = "github.com/abilian/hop3"
	caddyCore  = "github.com/caddyserver/caddy/v2"
)

// anything lets a package import every other one: it wires the floors below.
const anything = "*"

// mayImport is who imports whom. A package that is not here has no place yet.
// "/..." at the end of a name stands for the packages below it.
var mayImport = map[string][]string{
	// L0: the words.
	"hop3":     {},
	"hop3/api": {"hop3"},

	// L1: one thing each, knowing only the words.
	"hop3/accesslog":    {"hop3", "hop3/logfile"},
	"hop3/archive":      {"hop3"},
	"hop3/backup":       {"hop3", "hop3/archive"},
	"hop3/console":      {"hop3/api"},
	"hop3/auth":         {"hop3"},
	"hop3/certs":        {"hop3"},
	"hop3/build":        {"hop3", "hop3/cgroup", "hop3/sandbox"},
	"hop3/disk":         {"hop3", "hop3/logfile"},
	"hop3/env":          {"hop3"},
	"hop3/idn":          {"hop3"},
	"hop3/failures":     {"hop3"},
	"hop3/git":          {"hop3", "hop3/git/hook"},
	"hop3/git/hook":     {"hop3"},
	"hop3/logfile":      {"hop3"},
	"hop3/move":         {"hop3", "hop3/api"},
	"hop3/oidc":         {"hop3"},
	"hop3/pages":        {},
	"hop3/manifest":     {"hop3", "hop3/cron", "hop3/idn"},
	"hop3/cgroup":       {},
	"hop3/cron":         {"hop3"},
	"hop3/procfs":       {},
	"hop3/sandbox":      {"hop3", "hop3/cgroup", "hop3/procfs"},
	"hop3/ready":        {"hop3", "hop3/procfs"},
	"hop3/routing":      {"hop3"},
	"hop3/front":        {"hop3", "hop3/procfs", "hop3/routing"},
	"hop3/s3":           {"hop3"},
	"hop3/sbom":         {},
	"hop3/serverconfig": {"hop3", "hop3/idn"},
	"hop3/smtp":         {"hop3"},
	"hop3/store":        {"hop3"},
	"hop3/stream":       {"hop3"},
	"hop3/waf":          {"hop3"},
	"hop3/webhook":      {"hop3"},

	// L1: the plug-ins.
	"addons":          {"hop3", "hop3/s3", "hop3/smtp", "addons/rdb", "addons/sqldump"},
	"addons/rdb":      {},
	"addons/sqldump":  {},
	"toolchains":      {"hop3"},
	"uwsgi":           {"hop3", "hop3/logfile", "hop3/procfs", "hop3/sandbox", "hop3/supervisor", "uwsgi/vassal"},
	"uwsgi/vassal":    {"hop3", "hop3/logfile", "hop3/sandbox"},
	"hop3/expose":     {"hop3"},
	"hop3/services":   {"hop3", "hop3/sandbox", "hop3/supervisor"},
	"hop3/docker":     {"hop3", "hop3/build"},
	"hop3/nginx":      {"hop3", "hop3/front", "hop3/procfs"},
	"hop3/notify":     {"hop3", "hop3/api", "hop3/smtp"},
	"hop3/nix":        {"hop3", "hop3/build", "hop3/sandbox"},
	"hop3/rfc2136":    {"hop3"},
	"hop3/static":     {"hop3"},
	"hop3/supervisor": {"hop3", "hop3/cgroup", "hop3/logfile", "hop3/procfs", "hop3/sandbox"},
	"hop3/traefik":    {"hop3", "hop3/front"},

	// The conformance suites of the interfaces of L0.
	"hop3/hop3test":              {"hop3", "hop3/build", "hop3/manifest", "hop3/procfs", "hop3/sandbox"},
	"hop3/services/servicestest": {"hop3/hop3test", "hop3/sandbox", "hop3/services", "hop3/supervisor"},

	// L2: the verbs.
	"hop3/platform": {"hop3", "hop3/cron", "hop3/env", "hop3/idn", "hop3/manifest"},

	// L3: the front doors and the clients.
	"hop3/command": {"hop3", "hop3/api", "hop3/archive", "hop3/idn", "hop3/platform", "hop3/sbom", "hop3/stream"},
	"hop3/rpc":     {"hop3", "hop3/api", "hop3/archive", "hop3/command", "hop3/console", "hop3/pages", "hop3/platform", "hop3/stream", "hop3/webhook"},
	"hop3/sshd":    {"hop3", "hop3/git", "hop3/platform"},
	"hop3/web":     {"hop3", "hop3/platform"},
	"hop3/client":  {"hop3/api", "hop3/console"},
	"hop3/cli":     {"hop3/api", "hop3/cli/tui", "hop3/client"},
	"hop3/cli/tui": {"hop3/api", "hop3/client"},

	// L4: the wiring.
	"caddymodules": {anything},
	"cmd/hop3":     {anything},
	"cmd/hop3-cli": {"hop3/api", "hop3/cli", "hop3/client"},
	"cmd/hop3cmd":  {anything},
	"tests/...":    {anything},
}

// mayNameCaddy are the plug-ins: they register themselves with Caddy's core.
// Only the wiring imports anything else of Caddy's.
var mayNameCaddy = []string{
	"toolchains", "addons", "uwsgi", "hop3/supervisor", "hop3/build", "hop3/docker",
	"hop3/nix", "hop3/rfc2136", "hop3/static", "hop3/nginx", "hop3/traefik", "hop3/hop3test",
}

// notInPlatform is what the verbs leave to the packages below.
var notInPlatform = []string{"os/exec", "database/sql", "net/http"}

// mayRunShell are the files that run the developer's own command lines. All
// else is argv.
var mayRunShell = []string{"hop3/build/runner.go", "hop3/supervisor/", "hop3/hop3test/", "uwsgi/vassal/", "tests/bench/control/followers.go", "tests/bench/push/byhand.go", "tests/bench/process/start.go"}

// noNames are names of packages that say nothing.
var noNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "manager", "lib", "shared"}

const maxLines = 500

func TestLayers(t *testing.T) {
	packages := readSources(t, "..")
	for _, p := range packages {
		t.Run(p.dir, func(t *testing.T) { p.check(t.Errorf) })
	}
}

// report is told of each mistake.
type report func(format string, args ...any)

func (p *sourcePackage) check(mistake report) {
	p.checkImports(mistake)
	p.checkName(mistake)
	for _, f := range p.files {
		f.checkLength(mistake)
		f.checkShell(mistake)
	}
}

func TestLayersSeesMistakes(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"hop3/new/a.go", `package new`, "package hop3/new is new"},
		{"hop3/util/a.go", `package util`, "says nothing by its name"},
		{"hop3/store/a.go", `package store`, "has no package comment"},
		{"hop3/store/a.go", `package store; import _ "github.com/abilian/hop3/hop3/platform"`, "hop3/store/a.go:1: hop3/store must not import hop3/platform; it may import only hop3"},
		{"hop3/client/a.go", `package client; import _ "github.com/abilian/hop3/hop3"`, "may import only hop3/api"},
		{"hop3/rpc/a.go", `package rpc; import _ "github.com/caddyserver/caddy/v2"`, "only plug-ins do"},
		{"toolchains/a.go", `package toolchains; import _ "github.com/caddyserver/caddy/v2/modules/caddyhttp"`, "are for caddymodules and cmd"},
		{"hop3/a.go", `package hop3; import _ "golang.org/x/sys/unix"`, "standard library only"},
		{"hop3/platform/a.go", `package platform; import _ "os/exec"`, "the verbs must not import os/exec"},
		{"hop3/git/a.go", `package git; var x = []string{"/bin/sh", "-c", y}`, "/bin/sh -c runs a shell string"},
		{"toolchains/a.go", `package toolchains; var x = f(ctx, "bash", "-lc", y)`, "bash -lc runs a shell string"},
		{"hop3/env/a.go", "package env\n" + strings.Repeat("\n", maxLines), "has 501 lines"},
	} {
		f, err := parseSource(c.file, []byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		var mistakes []string
		p := &sourcePackage{dir: path.Dir(c.file), files: []*sourceFile{f}}
		p.check(func(format string, args ...any) { mistakes = append(mistakes, fmt.Sprintf(format, args...)) })
		if !strings.Contains(strings.Join(mistakes, "\n"), c.want) {
			t.Errorf("%s: %q is not among %q", c.text, c.want, mistakes)
		}
	}
}

// sourcePackage is the sources of one directory, without tests.
type sourcePackage struct {
	dir   string // from the top of the tree, with slashes
	files []*sourceFile
}

type sourceFile struct {
	name   string // from the top of the tree
	lines  int
	syntax *ast.File
	set    *token.FileSet
}

// readSources parses the module's files for every system, but for test data,
// the sample apps and other modules.
func readSources(t *testing.T, top string) []*sourcePackage {
	t.Helper()
	byDir := map[string]*sourcePackage{}
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != top && notOurs(name, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := readSource(top, name)
		if err != nil {
			return err
		}
		dir := path.Dir(f.name)
		if byDir[dir] == nil {
			byDir[dir] = &sourcePackage{dir: dir}
		}
		byDir[dir].files = append(byDir[dir].files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	packages := make([]*sourcePackage, 0, len(byDir))
	for _, p := range byDir {
		packages = append(packages, p)
	}
	slices.SortFunc(packages, func(a, b *sourcePackage) int { return strings.Compare(a.dir, b.dir) })
	if len(packages) < 10 {
		t.Fatalf("only %d packages were found under %s", len(packages), top)
	}
	return packages
}

func notOurs(dir, base string) bool {
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func readSource(top, name string) (*sourceFile, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(top, name)
	if err != nil {
		return nil, err
	}
	return parseSource(filepath.ToSlash(rel), text)
}

func parseSource(name string, text []byte) (*sourceFile, error) {
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &sourceFile{name: name, lines: bytes.Count(text, []byte{'\n'}), syntax: syntax, set: set}, nil
}

func (p *sourcePackage) checkImports(mistake report) {
	allowed, known := allowedImports(p.dir)
	if !known {
		mistake("package %s is new: give it a place in the import map (architecture, section 3, and mayImport here)", p.dir)
		return
	}
	wires := slices.Contains(allowed, anything)
	for _, f := range p.files {
		for _, spec := range f.syntax.Imports {
			target, _ := strconv.Unquote(spec.Path.Value)
			at := f.at(spec)
			ours, isOurs := strings.CutPrefix(target, modulePath+"/")
			switch {
			case wires:
			case isOurs && !slices.Contains(allowed, ours):
				mistake("%s: %s must not import %s; it may import only %s", at, p.dir, ours, orNothing(allowed))
			case target == caddyCore && !slices.Contains(mayNameCaddy, p.dir):
				mistake("%s: %s must not import Caddy; only plug-ins do, to register, and the wiring", at, p.dir)
			case p.dir == "hop3/certs" && target == "github.com/caddyserver/certmagic": // a library of its own
			case target != caddyCore && strings.HasPrefix(target, "github.com/caddyserver/"):
				mistake("%s: %s must not import %s; Caddy's HTTP and TLS are for caddymodules and cmd", at, p.dir, target)
			case p.dir == "hop3" && strings.Contains(strings.Split(target, "/")[0], "."):
				mistake("%s: the ground floor is standard library only, not %s", at, target)
			case p.dir == "hop3/platform" && slices.Contains(notInPlatform, target):
				mistake("%s: the verbs must not import %s; that is behind an interface of platform.go", at, target)
			}
		}
	}
}

func allowedImports(dir string) (allowed []string, known bool) {
	if allowed, known = mayImport[dir]; known {
		return allowed, true
	}
	for name, list := range mayImport {
		if below, ok := strings.CutSuffix(name, "..."); ok && strings.HasPrefix(dir+"/", below) {
			return list, true
		}
	}
	return nil, false
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "the standard library"
	}
	return strings.Join(names, ", ")
}

func (p *sourcePackage) checkName(mistake report) {
	name := p.files[0].syntax.Name.Name
	if slices.Contains(noNames, name) || slices.Contains(noNames, path.Base(p.dir)) {
		mistake("package %s says nothing by its name: what it has belongs to its caller, or needs a real name", p.dir)
	}
	for _, f := range p.files {
		if f.syntax.Doc != nil {
			return
		}
	}
	mistake("package %s has no package comment", p.dir)
}

func (f *sourceFile) checkLength(mistake report) {
	if f.lines > maxLines {
		mistake("%s has %d lines, more than %d: split it by subject", f.name, f.lines, maxLines)
	}
}

// checkShell finds lists of literals in which a shell is given a command line:
// exec.Command("/bin/sh", "-c", …), []string{"bash", "-c", …}.
func (f *sourceFile) checkShell(mistake report) {
	for _, allowed := range mayRunShell {
		if strings.HasPrefix(f.name, allowed) {
			return
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		var list []ast.Expr
		switch n := n.(type) {
		case *ast.CallExpr:
			list = n.Args
		case *ast.CompositeLit:
			list = n.Elts
		}
		for i := 1; i < len(list); i++ {
			shell, flag := literal(list[i-1]), literal(list[i])
			if isShell(shell) && strings.HasPrefix(flag, "-") && strings.HasSuffix(flag, "c") {
				mistake("%s: %s %s runs a shell string: use argv", f.at(list[i]), shell, flag)
			}
		}
		return true
	})
}

func isShell(program string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "zsh"}, path.Base(program))
}

// literal is the value of a string literal, "" for any other expression.
func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(lit.Value)
	return text
}

// at is the place of a node: file and line.
func (f *sourceFile) at(n ast.Node) string {
	return f.name + ":" + strconv.Itoa(f.set.Position(n.Pos()).Line)
}
