package tests

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// secretsApp has a secret that the server makes up, a job, and a page that ends
// the process.
var secretsApp = map[string]string{
	"Procfile": "web: python3 app.py\n",
	"hop3.toml": `[metadata]
id = "blog"
[env]
SESSION_SECRET = { generate = "hex" }
[[cron]]
name = "night"
schedule = "0 3 * * *"
command = "test -n \"$API_TOKEN\""
`,
	"app.py": `import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            os.abort()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`,
}

// TestNoSecretComesOut leads a server and an app through a life with a secret
// of every kind, and then looks for them: in what all commands say, in the logs,
// in the command lines of all processes while it went on, and in all files.
func TestNoSecretComesOut(t *testing.T) {
	t.Parallel()
	s := prepareServer(t)
	secrets := map[string]string{}
	plant := func(name string) string {
		secrets[name] = "kanarie" + rand.Text()
		return secrets[name]
	}
	clients := s.env
	servers := append(s.env[:len(s.env):len(s.env)], "HOP3_LOG_LEVEL=debug", "HOP3_SECRET_KEY="+plant("the server's key")+plant("the server's key, on"), "NOTIFY_ALLOW_PRIVATE=true", "CLONE_ALLOW_PRIVATE=true",
		"METRICS_TOKEN="+plant("the token for metrics"), "SMTP_HOST=127.0.0.1", "SMTP_PORT=1", "SMTP_FROM=hop3@example.org", "SMTP_USER=hop3", "SMTP_PASSWORD="+plant("the password for mail"))
	watch := watchProcesses(t, secrets)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	start := func() {
		t.Helper()
		s.env = servers
		must(s.start())
		s.env = clients
	}
	start()
	w := &gossip{t: t, s: s}
	token, err := s.run(s.dir, "hop3", "admin:token", "me")
	must(err)
	w.token = strings.TrimSpace(token)
	secrets["a login"] = w.token
	clients = append(clients, "HOP3_API_TOKEN="+w.token)
	s.env = clients

	// Everything that has a secret to keep.
	w.hears("user", "add", "ada", "ada@example.org", plant("a password"))
	w.shown(plantFrom(secrets, "a login by password", `(eyJ[\w.-]+)`), "auth", "get-token", "ada", secrets["a password"])
	w.hears("auth", "get-token", "ada", plant("a wrong password"))
	w.hears("user", "set-password", "ada", plant("a changed password"))
	w.shown(plantFrom(secrets, "a named token", `(eyJ[\w.-]+)`), "token", "create", "ci")
	w.shown(plantFrom(secrets, "a magic link", `(eyJ[\w.-]+)`), "auth", "magic-link", "ada")
	w.shown(plantFrom(secrets, "a second factor", `secret=([A-Z2-7]+)`), "auth", "totp", "enable")
	w.hears("app", "create", "--app", "blog")
	w.hears("env", "set", "--app", "blog", "API_TOKEN="+plant("a variable"), "DATABASE_URL=postgres://u:"+plant("a password in a variable's URL")+"@127.0.0.1/x")
	w.hears("env", "set", "--app", "nosuch", "API_TOKEN="+plant("a variable of no app"))
	w.hears("env", "set", "--app", "blog", "API_TOKEN="+plant("a variable of a bad call"), "1bad=x")
	w.hears("notify", "add", "webhook", "https://127.0.0.1:1/"+plant("the path of a notice's URL"), "--name", "hook", "--secret", plant("the secret of a notice"))
	w.hears("notify", "test", "hook")
	w.hears("notify", "add", "slack", "https://127.0.0.1:1/services/"+plant("the URL of a Slack"), "--name", "slack")
	w.hears("notify", "test", "slack")
	w.hears("notify", "add", "email", "ops@example.org", "--name", "mail")
	w.hears("notify", "test", "mail")
	w.hears("http", "basic-auth", "add", "--app", "blog", "ada", plant("a visitor's password"))
	w.hears("http", "basic-auth", "remove", "--app", "blog", "ada")
	forge := httptest.NewServer(http.NotFoundHandler())
	defer forge.Close()
	repository := strings.TrimPrefix(forge.URL, "http://") + "/x.git"
	w.hears("app", "create", "--app", "other")
	w.hears("app", "source", "--app", "other", "http://ada:"+plant("the password of a repository")+"@"+repository)
	w.shown(plantFrom(secrets, "the secret of a webhook", `[Ss]ecret:? +([A-Za-z0-9_-]{20,})`), "webhook", "create", "--app", "other")
	w.hears("app", "fetch", "--app", "other")
	w.hears("deploy", "http://ada:"+plant("the password of a URL")+"@"+repository, "--app", "third")

	// A life of deploys, good and bad, of runs and crashes.
	dir, err := s.repository("blog", secretsApp)
	must(err)
	pushed, err := s.run(dir, "git", "push", "-o", "env=DEPLOY_SECRET="+plant("a variable of a push"), "hop3", "main")
	must(err)
	w.heard("git push", pushed)
	w.shown(plantFrom(secrets, "a variable that was made up", `"text":"([0-9a-f]{20,})"`), "env", "get", "--app", "blog", "SESSION_SECRET")
	key := certificateFiles(t, s.dir, "blog.localhost")
	secrets["the key of a certificate"] = key
	said, err := s.run(s.dir, "hop3", "cert", "add", "cert.pem", "key.pem", "--app", "blog")
	w.heard("cert add", said)
	must(err)
	must(s.commit(dir, map[string]string{"app.py": "raise SystemExit('broken')\n"}))
	said, err = s.run(dir, "git", "push", "hop3", "main")
	w.heard("a push that fails", said)
	if err == nil {
		t.Error("a broken release is live")
	}
	w.hears("app", "run", "--app", "blog", "--", "sh", "-c", `test -n "$API_TOKEN" && test -n "$SESSION_SECRET" && echo "all there"`)
	w.hears("app", "run", "--app", "blog", "--", "sh", "-c", `exit 3`)
	w.hears("cron", "run", "--app", "blog", "night")
	_, _, _ = s.get(t.Context(), "blog.localhost", "/crash") // it breaks off
	w.hears("app", "restart", "--app", "blog")
	w.hears("ps", "scale", "--app", "blog", "web=2")
	w.hears("env", "set", "--app", "blog", "API_TOKEN="+plant("a changed variable"))
	w.hears("env", "unset", "--app", "blog", "DEPLOY_SECRET")
	w.hears("rollback", "--app", "blog")
	s.signal(syscall.SIGKILL)
	start()
	w.hears("app", "restart", "--app", "blog")

	// Whatever can be looked at.
	for _, line := range []string{
		"app list", "app status --app blog", "app logs --app blog -n 500", "app logs --app blog --build", "app credentials --app blog", "releases --app blog", "releases show v1 --app blog",
		"diff --app blog v1", "env show --app blog", "env show --app other", "env live --app blog", "env show --app blog --sources", "webhook show --app other", "webhook log --app other", "notify list", "token list", "token show ci",
		"user list", "user show ada", "key list --all", "events -n 500", "events --app blog -n 500", "events verify", "why --app blog", "why --app other", "cert list", "http show --app blog", "cron list --app blog",
		"cron logs --app blog", "system status", "system info", "system logs -n 1000", "app source --app other", "top --app blog", "ps --app blog", "domain list --app blog", "help --all", "app access --app blog",
	} {
		w.hears(strings.Fields(line)...)
	}
	w.token = secrets["a named token"]
	w.hears("auth", "whoami")
	for _, path := range []string{"/metrics", "/health", "/version", "/api/stream/x", "/why/x"} {
		w.gets(path, secrets["the token for metrics"])
	}
	must(s.signal(syscall.SIGTERM))
	log, err := os.ReadFile(s.log)
	must(err)
	w.heard("the server's log", string(log))

	if n := watch(); n == 0 {
		t.Error("no process was seen")
	}
	for what, text := range w.all {
		for name, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s says %s: …%s…", what, name, text[max(0, i-80):min(len(text), i+20)])
			}
		}
	}
	searchFiles(t, s.home, secrets)
}

// gossip remembers all that was said.
type gossip struct {
	t     *testing.T
	s     *server
	token string
	all   map[string]string
}

func (g *gossip) heard(what, text string) {
	if g.all == nil {
		g.all = map[string]string{}
	}
	g.all[what] += text
}

// hears calls a command, whose answer must tell nothing.
func (g *gossip) hears(args ...string) {
	g.t.Helper()
	g.heard(strings.Join(args[:min(2, len(args))], " "), g.call(args...))
}

// shown calls a command that shows a secret, this once.
func (g *gossip) shown(keep func(*testing.T, string), args ...string) {
	g.t.Helper()
	keep(g.t, g.call(args...))
}

func (g *gossip) call(args ...string) string {
	g.t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "cli", "id": 1, "params": map[string]any{"cli_args": args, "extra_args": map[string]any{"verbosity": 3}}})
	if err != nil {
		g.t.Fatal(err)
	}
	return g.request(http.MethodPost, "/rpc", g.token, string(body))
}

func (g *gossip) gets(path, token string) {
	g.heard("GET "+path, g.request(http.MethodGet, path, token, ""))
}

func (g *gossip) request(method, path, token, body string) string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", g.s.rpc, path), strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// plantFrom takes a secret that the server made out of its answer.
func plantFrom(secrets map[string]string, name, pattern string) func(*testing.T, string) {
	return func(t *testing.T, answer string) {
		t.Helper()
		found := regexp.MustCompile(pattern).FindStringSubmatch(answer)
		if found == nil {
			t.Fatalf("%s is not in %s", name, answer)
		}
		secrets[name] = found[1]
	}
}

// watchProcesses looks at all processes until the returned function is called,
// which returns how many there were. It reports secrets in command lines, and
// those of the server in the environment of others. What the server has begun
// and is not yet another program is still the server.
func watchProcesses(t *testing.T, secrets map[string]string) (stop func() int) {
	t.Helper()
	seen := map[string]string{} // command line with pid -> environment
	quit, done := make(chan struct{}), make(chan struct{})
	look := func() {
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			if _, err := strconv.Atoi(e.Name()); err != nil {
				continue
			}
			dir := filepath.Join("/proc", e.Name())
			line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
			key := e.Name() + "\x00" + string(line)
			if _, known := seen[key]; known || err != nil || len(line) == 0 {
				continue
			}
			environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
			if again, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && bytes.Equal(line, again) {
				seen[key] = string(environ)
			}
		}
	}
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				look()
			}
		}
	}()
	return func() int {
		close(quit)
		<-done
		server := filepath.Join(binaries, "hop3") + "\x00run\x00"
		for key, environ := range seen {
			_, line, _ := strings.Cut(key, "\x00")
			if strings.Contains(line, "\x00push\x00") || strings.HasPrefix(line, server) {
				continue // the pusher's own
			}
			for name, secret := range secrets {
				if strings.Contains(line, secret) {
					t.Errorf("%s is in the command line %q", name, line)
				}
				if strings.HasPrefix(name, "the server's key") || strings.HasPrefix(name, "the password for mail") || strings.HasPrefix(name, "the token for metrics") {
					if strings.Contains(environ, secret) {
						t.Errorf("%s is in the environment of %q", name, line)
					}
				}
			}
		}
		return len(seen)
	}
}

// certificateFiles writes cert.pem and key.pem for a host, and returns a line of
// the key.
func certificateFiles(t *testing.T, dir, host string) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	must(os.WriteFile(filepath.Join(dir, "key.pem"), text, 0o600))
	return strings.Split(string(text), "\n")[1]
}

// searchFiles looks into all files of a server's home. None says a secret, but
// for the key of a certificate in its own file, and none that others may read
// could.
func searchFiles(t *testing.T, home string, secrets map[string]string) {
	t.Helper()
	open := map[string]bool{} // directories that others may enter
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, mode := strings.TrimPrefix(path, home), info.Mode()
		reachable := path == home || open[filepath.Dir(path)]
		if mode&0o002 != 0 && mode&(fs.ModeSymlink|fs.ModeSticky) == 0 && reachable && name != "/front.sock" { // where proxies come in
			t.Errorf("others may write %s: %v", name, mode)
		}
		if d.IsDir() {
			open[path] = reachable && mode&0o001 != 0
			return nil
		}
		if !mode.IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for what, secret := range secrets {
			ownFile := what == "the key of a certificate" && strings.HasPrefix(name, "/certificates/") && mode.Perm() == 0o600
			if bytes.Contains(content, []byte(secret)) && !ownFile {
				t.Errorf("%s is in %s, %v, which others can reach: %v", what, name, mode, reachable)
			}
		}
		if reachable && mode&0o004 != 0 && name != "/hooks/pre-receive" {
			t.Errorf("others may read %s: %v", name, mode)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
