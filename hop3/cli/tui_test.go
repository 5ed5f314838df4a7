package cli

import (
	"reflect"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/cli/tui"
)

// TestTyped makes of what is typed on the full screen what the command line
// would send, without asking anybody.
func TestTyped(t *testing.T) {
	p := &program{getenv: func(string) string { return "" }, settings: &settings{}}
	for _, c := range []struct {
		typed, app string
		want       tui.Command
	}{
		{"apps", "", tui.Command{Args: []string{"app", "list"}}},
		{"status", "blog", tui.Command{Args: []string{"status", "--app", "blog"}}},
		{"env set A=b --app shop", "blog", tui.Command{Args: []string{"env", "set", "--app", "shop", "A=b"}}},
		{"system info", "blog", tui.Command{Args: []string{"system", "info"}}},
		{"logs -n 5", "blog", tui.Command{Args: []string{"app", "logs", "--app", "blog", "-n", "5"}}},
		{"redeploy", "blog", tui.Command{Args: []string{"redeploy", "--app", "blog"}, Streams: true}},
		{"domain add --wait x.y", "blog", tui.Command{Args: []string{"domain", "add", "--app", "blog", "--wait", "x.y"}, Streams: true}},
		{"env --help", "", tui.Command{Args: []string{"help", "env"}}},
		{"app destroy", "blog", tui.Command{Args: []string{"app", "destroy", "--app", "blog"}, Target: "blog", Typed: true}},
		{"app destroy --yes", "blog", tui.Command{Args: []string{"app", "destroy", "--app", "blog"}, Target: "blog", Typed: true}},
		{"user remove bob", "", tui.Command{Args: []string{"user", "remove", "bob"}, Target: "bob"}},
		{"run -- ls --app x", "blog", tui.Command{Args: []string{"run", "--app", "blog", "--", "ls", "--app", "x"}}},
	} {
		got, err := p.parseTyped(strings.Fields(c.typed), c.app)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", c.typed, got, err)
		}
	}
	for typed, want := range map[string]string{
		"status":         "--app NAME",
		"--app":          "needs a value",
		"logs -f":        "Press l",
		"login":          "leave with q",
		"deploy":         "leave with q",
		"-c prod status": "Press x",
		"-q":             "Type a command",
	} {
		if got, err := p.parseTyped(strings.Fields(typed), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", typed, got, err)
		}
	}
}

// TestServersOfTheScreen are the one that is meant, the contexts, and those that
// one has logged in to.
func TestServersOfTheScreen(t *testing.T) {
	p := &program{dir: t.TempDir(), getenv: func(string) string { return "" }, settings: &settings{
		config: map[string]any{
			"cli":      map[string]any{"default_server": "https://a.example.com"},
			"contexts": map[string]any{"home": map[string]any{"server": "https://a.example.com"}, "work": map[string]any{"server": "https://b.example.com:8443"}},
		},
		credentials: map[string]any{"servers": map[string]any{
			"https://a.example.com:443": map[string]any{"token": "a"}, "https://c.example.com:443": map[string]any{"token": "c"},
		}},
	}}
	servers, err := p.tuiServers()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range servers {
		names = append(names, s.Name)
		if _, err := s.Dial(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if want := []string{"home (a.example.com)", "work (b.example.com:8443)", "c.example.com:443"}; !reflect.DeepEqual(names, want) {
		t.Errorf("%q", names)
	}
}
