package manifest_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestStaticPaths(t *testing.T) {
	m := mustLoad(t, map[string]string{"hop3.toml": "[run.static]\n\"/a/\" = \"./public/\"\n\"/\" = \"site\"\n"})
	if want := map[string]string{"/a": "public", "/": "site"}; !maps.Equal(m.Static, want) {
		t.Errorf("got %v", m.Static)
	}
	m = mustLoad(t, map[string]string{"hop3.toml": "[run.static]\n\"/a\" = \"x\"\n[static]\n\"/b\" = \"y\"\n"})
	if want := map[string]string{"/b": "y"}; !maps.Equal(m.Static, want) {
		t.Errorf("got %v", m.Static)
	}
	for text, want := range map[string]string{
		"[static]\n\"a\" = \"x\"":                   "static -> a (line 2): the key must be a URL path",
		"[static]\n\"/a/../b\" = \"x\"":             "(line 2): the key must be a URL path",
		"[static]\n\"/a\" = \"x\"\n\"/a/\" = \"y\"": "static -> /a/ (line 3): '/a' is declared already",
		"[static]\n\"/a\" = \"../x\"":               "static -> /a (line 2): \"../x\" must be a file or directory inside",
		"[static]\n\"/a\" = \"/etc\"":               "(line 2): \"/etc\" must be a file or directory inside",
		"[run.static]\n\"/a\" = \"\"":               "run -> static -> /a (line 2): \"\" must be",
	} {
		_, err := load(t, map[string]string{"hop3.toml": text})
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nwant %s\ngot  %v", text, want, err)
		}
	}
}
