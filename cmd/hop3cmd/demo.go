package hop3cmd

import (
	"context"
	"crypto/ed25519"
	"embed"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// sample is the app that --demo pushes. Its files end in .txt so that go
// build does not take them for a part, or a submodule, of this module.
//
//go:embed sample
var sample embed.FS

const demoApp = "demo"

// prepareDemo makes a throw-away home and picks ports that are free. The
// returned function removes the home.
func prepareDemo(o *runOptions) (cleanup func(), err error) {
	if o.settings["home"] != "" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "--demo makes its own home; leave --home out")
	}
	for _, program := range []struct{ name, pkg string }{{"git", "git"}, {"ssh", "openssh-client"}, {"go", "golang"}} {
		if _, err := exec.LookPath(program.name); err != nil {
			return nil, hop3.Errorf(hop3.CodeUnavailable, "the demo needs %s, which is not installed", program.name).
				WithHint("On Debian and Ubuntu: apt install %s", program.pkg)
		}
	}
	home, err := os.MkdirTemp("", "hop3-demo-")
	if err != nil {
		return nil, fmt.Errorf("making the demo's home: %w", err)
	}
	o.stopApps = true
	o.settings["home"] = home
	if o.settings["log-level"] == "" {
		o.settings["log-level"] = "warn"
	}
	if os.Getenv("ISOLATION") == "" {
		// The apps of a demo are the user's own, and build in seconds with
		// this user's caches: see demoCache.
		o.settings["isolation"] = "off"
	}
	for setting, first := range map[string]int{"http-port": 8080, "https-port": 8443, "ssh-port": 2222, "port": 8000} {
		if o.settings[setting] == "" {
			o.settings[setting] = strconv.Itoa(freePort(first))
		}
	}
	return func() { removeAll(home) }, nil
}

// freePort returns the first port from first on that nobody listens on.
func freePort(first int) int {
	for port := first; port < first+200; port++ {
		if l, err := net.Listen("tcp", ":"+strconv.Itoa(port)); err == nil {
			l.Close()
			return port
		}
	}
	return first
}

// removeAll removes a tree that may hold read-only directories, as Go's
// module cache does.
func removeAll(dir string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	os.RemoveAll(dir)
}

// pushDemo pushes the sample app through the server's own SSH listener with
// the git that is installed, as any user would.
func pushDemo(ctx context.Context, p *platform.Platform, config *serverconfig.Config, out io.Writer) error {
	dir := filepath.Join(config.Home, "demo")
	key := filepath.Join(config.Home, "demo-key")
	if err := demoUser(ctx, p, key); err != nil {
		return err
	}
	if err := demoCache(ctx, p); err != nil {
		return err
	}
	if err := writeSample(dir); err != nil {
		return fmt.Errorf("writing the sample app: %w", err)
	}
	remote := fmt.Sprintf("ssh://hop3@127.0.0.1:%d/%s", config.SSHPort, demoApp)
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"},
		{"add", "."},
		{"commit", "-q", "-m", "A sample app"},
		{"remote", "add", "hop3", remote},
		// In the repository and not only here, so that a plain git push works.
		{"config", "core.sshCommand", "ssh -F /dev/null -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i '" + key + "'"},
		{"push", "hop3", "main"},
	} {
		if args[0] == "push" {
			fmt.Fprintf(out, "$ git remote add hop3 %s\n$ git push hop3 main\n", remote)
		}
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = dir
		cmd.Stdout, cmd.Stderr = out, out
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GIT_") }),
			"GIT_AUTHOR_NAME=Hop3", "GIT_AUTHOR_EMAIL=demo@localhost", "GIT_COMMITTER_NAME=Hop3", "GIT_COMMITTER_EMAIL=demo@localhost",
			"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		if err := cmd.Run(); err != nil {
			if ctx.Err() != nil {
				return nil // interrupted: run shuts down
			}
			return fmt.Errorf("git %s: %w", args[0], err)
		}
	}
	status, err := p.AppStatus(ctx, hostAdmin, demoApp)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe sample app is live: %s\nIts source is in %s: change it, commit, and `git push hop3 main` again.\nCtrl-C ends the demo and removes everything.\n", status.URLs[0], dir)
	return nil
}

// demoUser makes a user with a new key, whose private half goes to path.
func demoUser(ctx context.Context, p *platform.Platform, path string) error {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, demoApp)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	k, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	if err := p.Store.CreateUser(ctx, hop3.User{Username: demoApp, Active: true}); err != nil {
		return err
	}
	_, err = p.AddKey(ctx, hostAdmin, demoApp, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))))
	return err
}

// demoCache lets the sample app use this user's Go build cache: in an empty
// one its first build would compile the standard library.
func demoCache(ctx context.Context, p *platform.Platform) error {
	cache, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env GOCACHE: %w", err)
	}
	if _, err := p.CreateApp(ctx, hostAdmin, demoApp); err != nil {
		return err
	}
	_, err = p.SetEnv(ctx, hostAdmin, demoApp, hop3.Env{"GOCACHE": strings.TrimSpace(string(cache))}, nil, hop3.Discard)
	return err
}

func writeSample(dir string) error {
	entries, err := sample.ReadDir("sample")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		data, err := sample.ReadFile("sample/" + e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, strings.TrimSuffix(e.Name(), ".txt")), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
