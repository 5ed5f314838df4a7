package cli

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/abilian/hop3/hop3/api"
)

const projectWithContexts = `
[metadata]
id = "blog"
[env]
COLOUR = "red"
SIZE = 3
[domains]
list = ["blog.example.com"]
[contexts.staging]
server = "https://staging.example.com"
app = "blog-staging"
env = { COLOUR = "green" }
domains = { list = ["staging.example.com"] }
[contexts.production]
server = "https://hop3.example.com"
`

func TestAProjectIsPackedForItsContext(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hop3.toml"), []byte(projectWithContexts), 0o600); err != nil {
		t.Fatal(err)
	}
	for context, want := range map[string][2]string{
		"":           {"red", "blog.example.com"},
		"production": {"red", "blog.example.com"},
		"staging":    {"green", "staging.example.com"},
	} {
		text := packedFile(t, dir, context, "hop3.toml")
		var got struct {
			Metadata struct{ ID string }
			Env      map[string]any
			Domains  struct{ List []string }
			Contexts map[string]any
		}
		if err := toml.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if got.Env["COLOUR"] != want[0] || got.Env["SIZE"] != int64(3) || len(got.Domains.List) != 1 || got.Domains.List[0] != want[1] || got.Contexts != nil || got.Metadata.ID != "blog" {
			t.Errorf("for the context %q it is\n%s", context, text)
		}
	}
}

// packedFile returns a file of a directory as it is packed.
func packedFile(t *testing.T, dir, context, name string) string {
	t.Helper()
	a, err := packProject(dir, context)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := a.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	zipped, err := gzip.NewReader(a)
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(zipped); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			t.Fatalf("%s is not packed", name)
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == name {
			content, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			return string(content)
		}
	}
}

func TestAFileWithoutContextsIsPackedAsItIs(t *testing.T) {
	for _, text := range []string{"# mine\n[env]\nA = \"1\"\n", "not = [toml"} {
		if got, err := flatten([]byte(text), "staging"); err != nil || string(got) != text {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}

// inProject is a program in a directory with files.
func inProject(t *testing.T, env map[string]string, files map[string]string) *program {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	p := &program{Stdio: Stdio{In: strings.NewReader(""), Out: &out, Err: &out}, dir: dir, getenv: func(k string) string { return env[k] }, settings: &settings{config: map[string]any{}}}
	p.printer = newPrinter(p.Stdio, p.getenv)
	return p
}

func TestWhichContext(t *testing.T) {
	pinned := map[string]string{"hop3.toml": projectWithContexts, localFile: "[local]\ncontext = \"staging\"\n"}
	for _, c := range []struct {
		env, files map[string]string
		flag, want string
	}{
		{nil, map[string]string{"hop3.toml": projectWithContexts}, "", ""},
		{nil, pinned, "", "staging"},
		{nil, pinned, "production", "production"},
		{map[string]string{"HOP3_CONTEXT": "production"}, pinned, "", "production"},
		{nil, map[string]string{"hop3.toml": "[contexts.only]\nserver = \"https://x\"\n"}, "", "only"},
		{nil, nil, "", ""},
	} {
		p := inProject(t, c.env, c.files)
		p.flags.context = c.flag
		if got := p.contextName(); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestAnotherServerThanThatOfTheContext(t *testing.T) {
	p := inProject(t, map[string]string{"HOP3_API_URL": "https://other.example.com"}, map[string]string{"hop3.toml": projectWithContexts})
	p.flags.context = "staging"
	if _, err := p.server(); exitCode(err) != api.ExitNotFound || !strings.Contains(err.Error(), "HOP3_API_URL") {
		t.Errorf("%v", err)
	}
	p = inProject(t, map[string]string{"HOP3_API_URL": "https://Staging.example.com:443/"}, map[string]string{"hop3.toml": projectWithContexts})
	p.flags.context = "staging"
	if _, err := p.server(); err != nil {
		t.Errorf("%v", err)
	}
}

func TestAnotherAppThanTheProjects(t *testing.T) {
	for _, c := range []struct {
		words, app string
		force      bool
		want       int
	}{
		{"env set A=1", "blog", false, api.ExitOK},
		{"env set A=1", "shop", false, api.ExitNotFound},
		{"env set A=1", "shop", true, api.ExitOK},
		{"env show", "shop", false, api.ExitOK},
		{"app destroy", "shop", false, api.ExitNotFound},
	} {
		p := inProject(t, nil, map[string]string{"hop3.toml": projectWithContexts})
		p.flags.app, p.flags.yes = c.app, c.force
		_, err := p.addApp(strings.Fields(c.words))
		if failed := err != nil; failed != (c.want != api.ExitOK) || failed && exitCode(err) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
