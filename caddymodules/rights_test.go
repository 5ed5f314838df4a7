package caddymodules

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
)

// comer is a column of the matrix: a user with a token and a key, both empty
// for a stranger.
type comer struct {
	name, token string
	key         gossh.Signer
}

// comers makes the app blog and the users whose rights on it the matrix
// tells. "other" deploys another app.
func comers(t *testing.T, p *platform.Platform) []comer {
	t.Helper()
	ctx, host := t.Context(), platform.Actor{Username: "host", Admin: true}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, app := range []string{"blog", "shop"} {
		_, err := p.CreateApp(ctx, host, app)
		must(err)
		must(p.Repos.Ensure(ctx, app))
	}
	all := []comer{{name: "anonymous"}}
	for _, name := range []string{"viewer", "other", "deployer", "admin"} {
		_, err := p.AddUser(ctx, host, hop3.User{Username: name, Email: name + "@example.org", Admin: name == "admin"}, "")
		must(err)
		if name == "viewer" || name == "other" {
			must(p.SetMember(ctx, host, hop3.DefaultTeam, hop3.Member{Username: name}))
		}
		_, private, err := ed25519.GenerateKey(nil)
		must(err)
		v := comer{name: name}
		v.key, err = gossh.NewSignerFromKey(private)
		must(err)
		_, err = p.AddKey(ctx, host, name, string(gossh.MarshalAuthorizedKey(v.key.PublicKey())))
		must(err)
		v.token, err = p.IssueToken(ctx, host, name)
		must(err)
		all = append(all, v)
	}
	must(p.Grant(ctx, host, hop3.Grant{App: "blog", User: "viewer", Role: hop3.RoleViewer}))
	must(p.Grant(ctx, host, hop3.Grant{App: "shop", User: "other", Role: hop3.RoleDeployer}))
	return all
}

// TestWhoMayComeIn compares what the HTTP routes and the exec lines of SSH say
// to whom, about the app blog, with testdata/rights.golden; -update writes that
// anew. Commands are compared in hop3/command: these come the same way.
func TestWhoMayComeIn(t *testing.T) {
	var address string
	s := startServer(t, func(o *BaseOptions) {
		address = fmt.Sprintf("%s:%d", o.BindHost, freePort(t, o.BindHost))
		o.App = fmt.Appendf(nil, `{"home": %q, "ssh_listen": "tcp/%s"}`, o.Home, address)
		o.RPCAddress = fmt.Sprintf("%s:%d", o.BindHost, freePort(t, o.BindHost))
		o.ControlHandlers = []json.RawMessage{[]byte(`{"handler": "hop3_rpc"}`), []byte(`{"handler": "static_response", "status_code": 404}`)}
	})
	c := running(s.options.Home)
	columns := comers(t, c.Platform)
	deploy := c.Streams.New("blog", "deployer")
	deploy.Finish(true, "")

	var b strings.Builder
	fmt.Fprintf(&b, "%-48s", "")
	for _, who := range columns {
		fmt.Fprintf(&b, " %-12s", who.name)
	}
	line := func(name string, answer func(comer) string) {
		fmt.Fprintf(&b, "\n%-48s", name)
		for _, who := range columns {
			fmt.Fprintf(&b, " %-12s", answer(who))
		}
	}
	for _, route := range []string{
		"GET /health", "GET /version", "GET /metrics", "GET /",
		"POST /rpc app status", "POST /rpc app restart", "POST /rpc user list",
		"GET /api/apps/blog/logs/stream", "GET /api/apps/nosuch/logs/stream",
		"GET /api/stream/ID", "GET /api/stream/ID/status", "GET /api/stream/nosuch",
		"GET /api/addons/postgres/nosuch/export", "PUT /api/addons/postgres/nosuch/import", "GET /api/console", "POST /hooks/blog/x", "GET /why/nosuch",
		// POST /auth/code and GET /auth/magic/ are as POST /auth/login, and all count
		// as tries of one address: five.
		"GET /auth/login", "POST /auth/login", "GET /auth/profile", "GET /auth/device", "POST /auth/device",
		"GET /auth/oidc/start", "POST /auth/oidc/link", "GET /auth/oidc/callback", "GET /auth/nosuch",
	} {
		line(route, func(who comer) string { return s.status(strings.ReplaceAll(route, "ID", deploy.ID), who.token) })
	}
	for _, words := range []string{
		"git-upload-pack 'blog'", "git-upload-pack 'nosuch'", "git-receive-pack 'blog'", "git-receive-pack 'nosuch'",
		"app status --app blog", "app restart --app blog", "logs --app blog", "run --app blog -- true", "shell --app blog",
		"app status --app nosuch", "user list",
	} {
		line("ssh "+words, func(who comer) string { return execLine(t, address, who, words) })
		for _, app := range []string{"nosuch"} {
			_ = c.Platform.DestroyApp(t.Context(), platform.Actor{Admin: true}, app, hop3.Discard) // whoever may push made it
		}
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	got, path := strings.Join(lines, "\n")+"\n", filepath.Join("testdata", "rights.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("who may come in is not what %s says (-update writes it anew):\n%s", path, got)
	}
}

// status returns the status that a request gets.
func (s *server) status(route, token string) string {
	s.t.Helper()
	method, rest, _ := strings.Cut(route, " ")
	path, words, isCommand := strings.Cut(rest, " ")
	var body io.Reader
	if isCommand {
		args := strings.Fields(words)
		if !strings.HasPrefix(words, "user") {
			args = append(args, "--app", "blog")
		}
		body = strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","method":"cli","id":1,"params":{"cli_args":["%s"],"extra_args":{}}}`, strings.Join(args, `","`)))
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel() // a stream would go on
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.options.RPCAddress+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Error struct{ Code int } }
	if isCommand && json.NewDecoder(resp.Body).Decode(&answer) == nil && answer.Error.Code != 0 {
		return fmt.Sprintf("%d %d", resp.StatusCode, answer.Error.Code)
	}
	return fmt.Sprint(resp.StatusCode)
}

// execLine returns what becomes of an exec line: "no key", "yes" when git
// begins to talk, else the exit code of the command, or why not.
func execLine(t *testing.T, address string, who comer, words string) string {
	t.Helper()
	config := &gossh.ClientConfig{User: "hop3", HostKeyCallback: gossh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second}
	if who.key != nil {
		config.Auth = []gossh.AuthMethod{gossh.PublicKeys(who.key)}
	}
	client, err := gossh.Dial("tcp", address, config)
	if err != nil {
		return "no key"
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var out, errs bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(""), &out, &errs
	err = session.Run(words)
	switch {
	case strings.HasPrefix(words, "git-") && out.Len() > 0:
		return "yes"
	case strings.Contains(errs.String(), "there is no app"), strings.Contains(errs.String(), "not found"):
		return "not found"
	case strings.Contains(errs.String(), "This takes the role"), strings.Contains(errs.String(), "You may not create"), strings.Contains(errs.String(), "Admin privileges"):
		return "forbidden"
	case strings.Contains(errs.String(), "already exists"):
		return "conflict"
	case strings.Contains(errs.String(), "never been deployed"):
		return "yes" // the command itself says so
	case err != nil:
		t.Errorf("%s as %s: %v: %s", words, who.name, err, &errs)
	}
	return "yes"
}
