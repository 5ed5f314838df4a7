package toolchains_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestRuby(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Ruby), "../tests/apps/sinatra", "Hello from sinatra, release 1")
}

// TestRuby_NamesTheGemsThatCannotBeHad asks for a gem of no source at all, so
// that nothing is looked for outside.
func TestRuby_NamesTheGemsThatCannotBeHad(t *testing.T) {
	const lock = "GEM\n  specs:\n    no-such-gem (1.2.3)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  no-such-gem\n"
	for name, files := range map[string]map[string]string{
		"no-such-gem-1.2.3": {"Gemfile": "gem 'no-such-gem'\n", "Gemfile.lock": lock},
		"'no-such-gem'":     {"Gemfile": "gem 'no-such-gem'\n"},
	} {
		err := refusal(t, new(toolchains.Ruby), files)
		for _, want := range []string{"the app's gems cannot be installed: the command `bundle install` failed", "Missing: ", name} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}

func TestRuby_OffersWhatServesWhatIsDeclared(t *testing.T) {
	const puma = "bundle exec puma --bind tcp://${BIND_ADDRESS:-127.0.0.1}:$PORT --pidfile /tmp/puma-$PORT.pid '"
	offers(t, new(toolchains.Ruby), "../tests/apps/sinatra", []offer{
		{"", "rwsgi: config.ru: " + puma + "config.ru'"},
		{"rwsgi: config.ru", "rwsgi: config.ru: " + puma + "config.ru'"},
		{"rwsgi: ./serve", ""},
		{"web: ./serve", ""},
		{"static: public", ""},
		{"worker: ./work", "rwsgi: config.ru: " + puma + "config.ru'"},
	})
}

// TestRuby_WithoutALockfile builds two releases, of which the second has to run
// with the versions that were chosen for the first.
func TestRuby_WithoutALockfile(t *testing.T) {
	dir, cache := filepath.Join(t.TempDir(), "app"), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../tests/apps/sinatra")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "Gemfile.lock")); err != nil {
		t.Fatal(err)
	}
	var locks []string
	for range 2 {
		app := hop3test.BuildApp(t, cache, dir, new(toolchains.Ruby))
		lock, err := os.ReadFile(filepath.Join(app.Dir, "Gemfile.lock"))
		if err != nil {
			t.Fatal(err)
		}
		locks = append(locks, string(lock))
		app.Serves(t, "Hello from sinatra, release 1")
	}
	if locks[0] != locks[1] || !strings.Contains(locks[0], "sinatra") {
		t.Errorf("the lockfiles are\n%s\nand\n%s", locks[0], locks[1])
	}
}
