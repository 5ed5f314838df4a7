package rpc_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/cli"
)

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7vQjyM0o4S0V2l8Tn0nEmgeYt2Fv4D3rYbq3j8mJxk alice@laptop"

func TestAccountsAndKeys(t *testing.T) {
	w := newWorld(t)
	for _, step := range []struct {
		token string
		args  []string
		want  string
	}{
		{w.user, []string{"key", "list"}, "There are no keys."},
		{w.user, []string{"key", "add", publicKey}, "added for alice"},
		{w.user, []string{"key", "add", publicKey}, `"code":409`},
		{w.user, []string{"key", "add", "--user", "root", publicKey}, `"code":403`},
		{w.user, []string{"key", "add", "ssh-rsa nonsense"}, `"code":-32602`},
		{w.user, []string{"key", "list", "--all"}, `"code":403`},
		{w.admin, []string{"key", "list"}, "There are no keys."},
		{w.admin, []string{"key", "list", "--all"}, "alice@laptop"},
		{w.admin, []string{"key", "remove", "SHA256:nosuch"}, `"code":404`},
		{w.user, []string{"key", "remove", "SHA256:"}, "removed"},
		{w.admin, []string{"user", "remove", "root"}, "your own account"},
		{w.admin, []string{"user", "disable", "root"}, "your own account"},
		{w.admin, []string{"user", "revoke-admin", "root"}, "your own account"},
		{w.admin, []string{"user", "add", "bob", "bob@example.org", "short"}, "at least 8 characters"},
		{w.admin, []string{"user", "add", "bob", "nowhere", password}, "not an e-mail address"},
		{w.admin, []string{"user", "add", "../bob", "bob@example.org", password}, "cannot be a username"},
		{w.admin, []string{"user", "add", "bob", "bob@example.org", password, "--admin"}, "created"},
		{w.admin, []string{"user", "revoke-admin", "bob"}, "no administrator"},
		{w.admin, []string{"user", "set-password", "bob", "another password"}, "changed"},
		{"", []string{"auth", "get-token", "bob", "another password"}, `"text":"eyJ`},
		{"", []string{"auth", "get-token", "bob", password}, "Invalid username or password"},
		{w.admin, []string{"user", "remove", "bob"}, "removed"},
		{w.admin, []string{"user", "show", "bob"}, `"code":404`},
	} {
		if _, answer := w.post(step.token, request(step.args...)); !strings.Contains(answer, step.want) {
			t.Errorf("%v: %q is not in %s", step.args, step.want, answer)
		}
	}
}

func TestATokenDiesWithItsAccount(t *testing.T) {
	w := newWorld(t)
	if status, _ := w.post(w.admin, request("user", "remove", "alice")); status != 200 {
		t.Fatal(status)
	}
	if status, _ := w.post(w.user, request("auth", "whoami")); status != 401 {
		t.Errorf("status %d, want 401", status)
	}
}

// A person logs in with a password, is remembered, adds a key from a file, and
// logs out.
func TestLoggingIn(t *testing.T) {
	w := newWorld(t)
	home := t.TempDir()
	t.Setenv("HOP3_CONFIG_DIR", filepath.Join(home, "config"))
	t.Setenv("HOP3_API_URL", "")
	t.Setenv("HOP3_API_TOKEN", "")
	t.Chdir(home)
	must(t, os.WriteFile("key.pub", []byte(publicKey+"\n"), 0o644))
	step := func(stdin string, wantCode int, wantText string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		code := cli.Main(args, cli.Stdio{In: strings.NewReader(stdin), Out: &out, Err: &out}, nil)
		if code != wantCode || !strings.Contains(out.String(), wantText) {
			t.Fatalf("hop3 %s: exit %d, want %d with %q in\n%s", strings.Join(args, " "), code, wantCode, wantText, &out)
		}
	}
	step("wrong password\n", 4, "Invalid username or password", "login", w.server.URL, "--username", "alice", "--password-stdin")
	step(password+"\n", 0, "as alice", "login", w.server.URL, "--username", "alice", "--password-stdin")
	step("", 0, "Username: alice", "whoami")
	step("", 0, "added for alice", "key", "add", "key.pub")
	step("", 5, "Admin privileges required", "user", "list")
	step("", 0, "Logged out user: alice", "logout")
	step("", 4, "Authentication required", "whoami")
	step("", 4, "", "login", w.server.URL+"?token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.x")
	step("", 0, "as root", "login", w.server.URL+"?token="+w.admin)
	step("", 0, "Total users: 2", "user", "list")
	step("", 0, w.server.URL, "settings", "get", "server")
}
