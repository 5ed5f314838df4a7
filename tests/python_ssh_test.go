package tests

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostSSHD runs a real sshd as root in mounts of its own, where the account hop3
// is the server's user and its home has hop3-server as the Python client expects
// it.
const hostSSHD = `set -e
dir=$1 home=$2 hop3=$3 sshd=$4
mount --make-rprivate /
{ grep -v '^hop3:' /etc/passwd; echo 'hop3:*:0:0::/home/hop3:/bin/sh'; } >"$dir/passwd"
grep -q '^sshd:' "$dir/passwd" || echo 'sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin' >>"$dir/passwd"
mount --bind "$dir/passwd" /etc/passwd
mount -t tmpfs tmpfs /run
mkdir /run/sshd
mount -t tmpfs tmpfs /home
mkdir /home/hop3
mount --bind "$home" /home/hop3
exec "$sshd" -D -e -f "$dir/sshd_config"
`

// TestThePythonClientOverSSH lets the unmodified hop3-cli log in by the host's
// SSH server, and use the API through a tunnel of it.
func TestThePythonClientOverSSH(t *testing.T) {
	t.Parallel()
	python := os.Getenv("HOP3_PYTHON_CLI")
	if python == "" {
		t.Skip("HOP3_PYTHON_CLI is not set")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may have mounts of its own")
	}
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		if _, err := os.Stat("/usr/sbin/sshd"); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal("sshd is not installed")
			}
			t.Skip("sshd is not installed")
		}
		sshd = "/usr/sbin/sshd"
	}
	s := prepareServer(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	version, err := s.run(s.dir, python, "version")
	must(err)
	t.Log("by", strings.TrimSpace(version))
	_, err = s.run(s.dir, "hop3-server", "setup")
	must(err)
	must(s.start())
	port := s.startHostSSHD(t, sshd)

	project := filepath.Join(s.dir, "project")
	must(os.Mkdir(project, 0o755))
	for name, content := range map[string]string{"Procfile": "static: .\n", "index.html": "<p>by SSH</p>\n", "hop3.toml": "[metadata]\nid = \"blog\"\n"} {
		must(os.WriteFile(filepath.Join(project, name), []byte(content), 0o644))
	}
	config := filepath.Join(s.dir, "python-config")
	s.env = append(withoutPrefixes(s.env, "HOP3_API_URL=", "HOP3_HOME="),
		"HOP3_CONFIG_DIR="+config, "HOP3_NO_INPUT=1", "HOP3_SERVER_PORT="+strconv.Itoa(s.rpc), "NO_PROXY=127.0.0.1,localhost", "COLUMNS=200", "PYTHONIOENCODING=utf-8",
		"HOP3_SSH_KEY="+filepath.Join(s.getenv("HOME"), ".ssh", "id_ed25519"),
		"HOP3_SSH_OPTIONS=UserKnownHostsFile="+filepath.Join(s.dir, "known_hosts")+" IdentitiesOnly=yes")
	target := fmt.Sprintf("root@127.0.0.1:%d", port)
	for _, step := range []struct {
		args string
		code int
		want string
	}{
		{"login " + target, 0, `Signed in to ssh://root@127.0.0.1`},
		{"deploy -y", 0, `deployed successfully`},
		{"apps", 0, `blog.*RUNNING`},
		{"env set COLOUR=naïve", 0, `Set COLOUR=naïve`},
		{"env get COLOUR", 0, `naïve`},
		{"app shell --app blog", 0, `COLOUR is naïve`},
		{"restart --app nosuch --force", 3, `nosuch`},
		{"app destroy --confirm blog", 0, `has been destroyed`},
	} {
		cmd := exec.Command(python, strings.Fields(step.args)...)
		cmd.Dir, cmd.Env = project, s.env
		if strings.HasPrefix(step.args, "app shell") {
			cmd.Stdin = strings.NewReader("echo COLOUR is $COLOUR\n")
		}
		out, err := cmd.CombinedOutput()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); code != step.code || !regexp.MustCompile(step.want).Match(out) {
			t.Errorf("hop3 %s: exit %d, want %d with %s in\n%s", step.args, code, step.code, step.want, out)
		}
	}
	// The bootstrap of a first administrator, with the password by standard input.
	cmd := exec.Command(python, "init", "--ssh", target, "--username", "ada", "--email", "ada@example.org", "--password-stdin", "-y")
	cmd.Dir, cmd.Env, cmd.Stdin = project, append(s.env, "HOP3_CONFIG_DIR="+config+"-2"), strings.NewReader("correct-horse-battery\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("hop3 init: %v\n%s", err, out)
	}
}

// startHostSSHD starts the host's own SSH server, which knows the user's key,
// and returns its port.
func (s *server) startHostSSHD(t *testing.T, sshd string) int {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(s.dir, "sshd")
	must(os.Mkdir(dir, 0o700))
	var port int
	must(freePorts(&port))
	_, err := s.run(dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "host_key"))
	must(err)
	must(os.WriteFile(filepath.Join(dir, "sshd_config"), fmt.Appendf(nil, "Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\n",
		port, filepath.Join(dir, "host_key"), filepath.Join(s.getenv("HOME"), ".ssh", "id_ed25519.pub")), 0o600))
	log, err := os.Create(filepath.Join(dir, "log"))
	must(err)
	defer log.Close()
	cmd := exec.Command("unshare", "--mount", "sh", "-c", hostSSHD, "sshd", dir, s.home, filepath.Join(binaries, "hop3"), sshd)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = withoutPrefixes(os.Environ(), "HOP3_")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	must(cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait() // it was ended
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("sshd:\n%s", tail(text, 4000))
		}
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
			return port
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("sshd does not answer:\n%s", text)
		}
		time.Sleep(20 * time.Millisecond) // between two polls
	}
}
