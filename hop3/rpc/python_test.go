package rpc_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The unmodified client of Hop3 (Python), as released, talks to this server.
// HOP3_PYTHON_CLI names its executable; tests/run installs it.
func TestThePythonClient(t *testing.T) {
	binary := os.Getenv("HOP3_PYTHON_CLI")
	if binary == "" {
		t.Skip("HOP3_PYTHON_CLI is not set")
	}
	w := newWorld(t)
	dir, config := w.project("hello"), t.TempDir()
	for _, step := range []struct {
		args string
		code int
		want string
	}{
		{"apps --json", 0, "There are no applications deployed."},
		{"auth whoami", 0, "Username: root"},
		{"version", 0, "hop3-cli"},
		{"help", 0, "DAILY OPERATIONS"},
		{"help --all", 0, "app list"},
		{"help app status", 0, "USAGE"},
		{"deploy -y", 0, "App deployed successfully"},
		{"apps", 0, "RUNNING"},
		{"app status", 0, "http://blog.localhost"},
		{"logs -n 20", 0, "serving hello"},
		{"app ping", 0, "is responding"},
		{"ps", 0, "web"},
		{"ps scale web=2", 0, "scaled blog"},
		{"env set GREETING=naïve", 0, "Set GREETING=naïve"},
		{"env show", 0, "GREETING"},
		{"env get GREETING", 0, "naïve"},
		{"run sh -c env", 0, "GREETING=naïve"},
		{"run false", 1, "Command failed with exit code 1"},
		{"app restart", 0, "restarted"},
		{"restart --app nosuch --force", 3, "nosuch"},
		{"app stop", 0, "stopped"},
		{"app start", 0, "running"},
		{"user list", 0, "Total users: 2"},
		{"user add bob bob@example.org " + strings.ReplaceAll(password, " ", "-"), 0, "created"},
		{"user add bob bob@example.org " + strings.ReplaceAll(password, " ", "-"), 6, "bob"},
		{"auth get-token bob wrong-password", 1, "Invalid username or password"},
		{"plugin list", 0, "No external plugins"},
		{"system info", 0, "Version: 1.2.3"},
		{"domain list", 0, "blog.localhost"},
		{"frobnicate", 3, "not found"},
		{"app destroy --confirm blog", 0, "has been destroyed"},
	} {
		cmd := exec.Command(binary, strings.Fields(step.args)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOP3_CONFIG_DIR="+config, "HOP3_API_URL="+w.server.URL, "HOP3_API_TOKEN="+w.admin,
			"HOP3_NO_INPUT=1", "NO_PROXY=127.0.0.1", "COLUMNS=200", "PYTHONIOENCODING=utf-8")
		out, _ := cmd.CombinedOutput() // its status is checked below
		if code := cmd.ProcessState.ExitCode(); code != step.code || !strings.Contains(string(out), step.want) {
			t.Errorf("hop3 %s: exit %d, want %d with %q in\n%s", step.args, code, step.code, step.want, out)
		}
	}
}
