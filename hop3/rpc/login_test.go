package rpc_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/cli"
	"github.com/abilian/hop3/hop3/failures"
	"github.com/abilian/hop3/hop3/platform"
)

// visitor is a browser, as far as it keeps cookies and follows redirects.
type visitor struct {
	w      *world
	client *http.Client
}

func (w *world) visitor() *visitor {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	must(w.t, err)
	return &visitor{w, &http.Client{Jar: jar}}
}

// send makes a request, a form when there is one, and returns the last answer
// with the path it came from.
func (v *visitor) send(method, address string, form url.Values, header ...string) (status int, path, page string) {
	v.w.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = v.w.server.URL + address
	}
	req, err := http.NewRequestWithContext(v.w.t.Context(), method, address, strings.NewReader(form.Encode()))
	must(v.w.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "text/html")
	for i := 0; i < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := v.client.Do(req)
	must(v.w.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(v.w.t, err)
	if policy := resp.Header.Get("Content-Security-Policy"); "http://"+resp.Request.URL.Host == v.w.server.URL &&
		resp.Header.Get("Location") == "" && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") && (!strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || resp.Header.Get("Cache-Control") != "no-store") {
		v.w.t.Errorf("%s: the page is not closed: %v", address, resp.Header)
	}
	return resp.StatusCode, resp.Request.URL.RequestURI(), string(body)
}

// wants compares what send returned.
func (v *visitor) wants(status int, path, words string) func(int, string, string) {
	return func(gotStatus int, gotPath, page string) {
		v.w.t.Helper()
		if gotStatus != status || gotPath != path || !strings.Contains(page, words) {
			v.w.t.Errorf("got %d at %s, want %d at %s with %q in\n%s", gotStatus, gotPath, status, path, words, page)
		}
	}
}

func (v *visitor) cookie(name string) *http.Cookie {
	at, err := url.Parse(v.w.server.URL + "/auth/oidc/x")
	must(v.w.t, err)
	for _, c := range v.client.Jar.Cookies(at) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func form(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

func (v *visitor) login(password string) (int, string, string) {
	v.w.t.Helper()
	return v.send("POST", "/auth/login", form("username", "alice", "password", password))
}

func TestABrowserLogsIn(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	v.wants(200, "/auth/login", `name="password"`)(v.send("GET", "/auth/profile", nil))
	v.wants(401, "/auth/login", "Invalid username or password")(v.login("wrong"))
	v.wants(401, "/auth/login", "&lt;b&gt;x")(v.send("POST", "/auth/login", form("username", "<b>x", "password", "wrong")))
	v.wants(200, "/auth/profile", "alice")(v.login(password))
	if status, _ := w.post(v.cookie("hop3_auth").Value, request("whoami")); status != 200 {
		t.Errorf("the cookie is no token: %d", status)
	}
	token := v.cookie("hop3_auth").Value
	v.wants(405, "/auth/logout", "")(v.send("GET", "/auth/logout", nil))
	v.wants(200, "/auth/login", "Log in")(v.send("POST", "/auth/logout", form()))
	if status, _ := w.post(token, request("whoami")); status != 401 || v.cookie("hop3_auth") != nil {
		t.Errorf("the login goes on: %d", status)
	}
	v.login("wrong") // the fourth
	v.login("wrong")
	v.wants(403, "/auth/login", "Too many login attempts")(v.login(password))
}

func TestABrowserIsAskedForTheSecondFactor(t *testing.T) {
	w := newWorld(t)
	w.server.Config.Handler = fromElsewhere{w.handler}
	recovery := w.secondFactor(w.user)
	link := func(page string) string {
		t.Helper()
		m := regexp.MustCompile(`name="link" value="([^"]+)"`).FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("there is no link in\n%s", page)
		}
		return m[1]
	}
	v := w.visitor()
	v.wants(401, "/auth/login", "Invalid username or password")(v.login("wrong"))
	_, _, page := v.login(password)
	if v.cookie("hop3_auth") != nil {
		t.Fatal("a password was enough")
	}
	v.wants(200, "/auth/login", "Log in")(v.send("GET", "/auth/profile", nil))
	pending := link(page)
	v.wants(401, "/auth/code", "The code is not right")(v.send("POST", "/auth/code", form("link", pending, "code", "000000")))
	v.wants(401, "/auth/code", "A code of your second factor")(v.send("POST", "/auth/code", form("link", pending)))
	v.wants(401, "/auth/code", "The link is not valid")(v.send("POST", "/auth/code", form("link", w.user, "code", recovery[0])))
	v.wants(200, "/auth/profile", "alice")(v.send("POST", "/auth/code", form("link", pending, "code", recovery[0])))

	// A link does not get around it either, and is not used up by looking.
	v = w.visitor()
	magic := w.texts(w.admin, "auth", "magic-link", "alice")
	_, _, page = v.send("GET", "/auth/magic/"+magic[0], nil)
	v.send("GET", "/auth/magic/"+magic[0], nil)
	v.wants(200, "/auth/profile", "alice")(v.send("POST", "/auth/code", form("link", link(page), "code", recovery[1])))
	v.wants(401, "/auth/code", "used before")(v.send("POST", "/auth/code", form("link", magic[0], "code", recovery[2])))
}

func TestAMagicLinkLogsABrowserIn(t *testing.T) {
	w := newWorld(t)
	w.server.Config.Handler = fromElsewhere{w.handler}
	link := w.texts(w.admin, "auth", "magic-link", "alice")
	if want := "http://hop3.localhost/auth/magic/" + link[0]; w.platform.Settings.ControlHost == "" {
		want = "http:///auth/magic/" + link[0]
		if link[1] != want {
			t.Errorf("the link is %s, want %s", link[1], want)
		}
	}
	v := w.visitor()
	v.wants(200, "/auth/profile", "alice")(v.send("GET", "/auth/magic/"+link[0], nil))
	other := w.visitor()
	other.wants(401, "/auth/magic/"+link[0], "used before")(other.send("GET", "/auth/magic/"+link[0], nil))
	late := w.texts(w.admin, "auth", "magic-link", "alice")[0]
	must(t, w.platform.SetActive(t.Context(), platform.Actor{Admin: true}, "alice", false))
	other.wants(401, "/auth/magic/"+late, "The link is not valid")(other.send("GET", "/auth/magic/"+late, nil))
	other.wants(401, "/auth/login", "Invalid username or password")(other.login(password))
	v.wants(200, "/auth/login", "Log in")(v.send("GET", "/auth/profile", nil))
}

// Where a login may lead to is a list, not whatever a link says.
func TestNoLoginLeadsElsewhere(t *testing.T) {
	w := newWorld(t)
	w.server.Config.Handler = fromElsewhere{w.handler}
	for _, next := range []string{
		"https://evil.example", "//evil.example", "/\\evil.example", "/%5cevil.example", "javascript:alert(1)", "/auth/logout",
		"https:evil.example", "/\t/evil.example", "///evil.example", "/why/../rpc", "/why/x\r\nSet-Cookie: a=b", "http:///auth/device", "",
	} {
		v := w.visitor()
		v.wants(200, "/auth/profile", "alice")(v.send("POST", "/auth/login", form("username", "alice", "password", password, "next", next)))
		_, _, page := v.send("GET", "/auth/login?"+url.Values{"next": {next}}.Encode(), nil)
		if strings.Contains(page, "evil") || strings.Contains(page, `name="next"`) {
			t.Errorf("%q is on the page\n%s", next, page)
		}
	}
	v := w.visitor()
	v.wants(200, "/auth/login?next=%2Fauth%2Fdevice", `value="/auth/device"`)(v.send("GET", "/auth/device", nil))
	v.wants(200, "/auth/device", "name=\"code\"")(v.send("POST", "/auth/login", form("username", "alice", "password", password, "next", "/auth/device")))
}

// The apps are neighbours of the server's own name: what their pages send counts
// for nothing, however it comes.
func TestNeighboursSendNothing(t *testing.T) {
	w := newWorld(t)
	w.server.Config.Handler = fromElsewhere{w.handler}
	v := w.visitor()
	for _, header := range [][]string{{"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://blog.localhost"}, {"Origin", "null"}} {
		v.wants(403, "/auth/login", "not this server&#39;s")(v.send("POST", "/auth/login", form("username", "alice", "password", password), header...))
	}
	v.wants(200, "/auth/profile", "alice")(v.send("POST", "/auth/login", form("username", "alice", "password", password), "Sec-Fetch-Site", "same-origin"))
	cookie := "hop3_auth=" + v.cookie("hop3_auth").Value
	call := func(header ...string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.server.URL+"/rpc", strings.NewReader(request("apps")))
		must(t, err)
		for i := 0; i < len(header); i += 2 {
			req.Header.Add(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := call("Cookie", cookie); status != 200 {
		t.Errorf("a program with a cookie: %d", status)
	}
	if status := call("Cookie", cookie, "Origin", w.server.URL, "Sec-Fetch-Site", "same-origin"); status != 200 {
		t.Errorf("our own page: %d", status)
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://blog.localhost"}} {
		if status := call(append(header, "Cookie", cookie)...); status != 401 {
			t.Errorf("a page of %v: %d", header, status)
		}
	}
	// One that a neighbour has put beside ours.
	if status := call("Cookie", cookie+"; hop3_auth="+w.admin); status != 401 {
		t.Errorf("two cookies: %d", status)
	}
	v.wants(403, "/auth/logout", "")(v.send("POST", "/auth/logout", form(), "Sec-Fetch-Site", "same-site"))
	v.wants(200, "/auth/profile", "alice")(v.send("GET", "/auth/profile", nil, "Sec-Fetch-Site", "cross-site"))
}

// Without HTTPS nobody logs in but at this machine, and a cookie of HTTPS stays
// there.
func TestLoginsAreEncrypted(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	for _, host := range []string{"hop3.example.org", "localhost.example.org", "192.0.2.1:8000"} {
		for _, path := range []string{"/auth/login", "/auth/magic/x", "/auth/oidc/start"} {
			v.wants(403, path, "https://")(v.send("GET", path, nil, "Host", host))
		}
		v.wants(403, "/auth/login", "https://")(v.send("POST", "/auth/login", form("username", "alice", "password", password), "Host", host))
	}
	if v.cookie("hop3_auth") != nil {
		t.Error("there is a cookie")
	}
	w.handler.OverTLS = func(*http.Request) bool { return true }
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.server.URL+"/auth/login", strings.NewReader(form("username", "alice", "password", password).Encode()))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Host = "hop3.example.org"
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	resp.Body.Close()
	if c := resp.Header.Get("Set-Cookie"); !strings.Contains(c, "; Secure") || !strings.Contains(c, "; HttpOnly") || !strings.Contains(c, "; SameSite=Lax") || !strings.Contains(c, "; Path=/;") {
		t.Errorf("the cookie is %s", c)
	}
}

// A command line without a browser gets in by a code that is typed into one,
// elsewhere.
func TestACommandLineIsLetIn(t *testing.T) {
	w := newWorld(t)
	w.server.Config.Handler = fromElsewhere{w.handler}
	w.platform.Settings.ControlHost = "hop3.localhost"
	t.Setenv("HOP3_CONFIG_DIR", filepath.Join(t.TempDir(), "config"))
	t.Setenv("HOP3_API_TOKEN", "")
	v := w.visitor()
	v.login(password)
	code := regexp.MustCompile(`enter the code ([A-Z]{4}-[A-Z]{4})`)
	begin := func() (typed string, done func() (int, string)) {
		t.Helper()
		read, write, err := os.Pipe()
		must(t, err)
		result := make(chan int, 1)
		go func() {
			status := cli.Main([]string{"login", "--web", w.server.URL}, cli.Stdio{In: strings.NewReader(""), Out: write, Err: write}, nil)
			write.Close()
			result <- status
		}()
		var said bytes.Buffer
		for buf := make([]byte, 1); !code.Match(said.Bytes()); {
			if _, err := read.Read(buf); err != nil {
				t.Fatalf("%v after %s", err, &said)
			}
			said.Write(buf)
		}
		if !strings.Contains(said.String(), "Open http://hop3.localhost/auth/device\n") {
			t.Errorf("it said %s", &said)
		}
		return code.FindStringSubmatch(said.String())[1], func() (int, string) {
			_, err := io.Copy(&said, read)
			must(t, err)
			return <-result, said.String()
		}
	}
	typed, done := begin()
	v.wants(404, "/auth/device", "No command line waits under this code")(v.send("POST", "/auth/device", form("code", "BBBB-BBBB")))
	v.wants(200, "/auth/device", "gets a login as alice")(v.send("POST", "/auth/device", form("code", strings.ToLower(strings.ReplaceAll(typed, "-", " ")))))
	v.wants(200, "/auth/device", "It is in")(v.send("POST", "/auth/device", form("code", typed, "decision", "allow")))
	if status, out := done(); status != 0 || !strings.Contains(out, "as alice") {
		t.Errorf("exit %d: %s", status, out)
	}
	v.wants(404, "/auth/device", "No command line waits")(v.send("POST", "/auth/device", form("code", typed, "decision", "allow")))

	typed, done = begin()
	v.wants(200, "/auth/device", "Refused")(v.send("POST", "/auth/device", form("code", typed, "decision", "refuse")))
	if status, out := done(); status != api.ExitAuth || !strings.Contains(out, "was refused") {
		t.Errorf("exit %d: %s", status, out)
	}

	// Whose logins were ended lets nobody in, and no token of a program does.
	typed, done = begin()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	named := w.texts(w.user, "token", "create", "ci")[0]
	stranger := w.visitor()
	stranger.wants(403, "/auth/device", "This token may not")(stranger.send("POST", "/auth/device", form("code", typed), "Authorization", "Bearer "+named))
	stranger.wants(200, "/auth/login?next=%2Fauth%2Fdevice", "Log in")(stranger.send("POST", "/auth/device", form("code", typed, "decision", "allow")))
	host := platform.Actor{Username: "host", Admin: true}
	u, err := w.platform.Store.User(ctx, "alice")
	must(t, err)
	login := platform.UserActor(u, hop3.FullScope)
	login.Login = "x"
	must(t, w.platform.SetActive(ctx, host, "alice", false))
	must(t, w.platform.DecideWebLogin(ctx, login, typed, true))
	if status, out := done(); status != api.ExitAuth {
		t.Errorf("a disabled user's: exit %d: %s", status, out)
	}
	w.says("The login was refused, or its time is over", "", "auth", "web", "wait", "nosuch")
}

func TestWhyIsAPage(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	v.wants(401, "/why/abcdefgh", `<a href="/auth/login?next=%2Fwhy%2Fabcdefgh">Log in</a>`)(v.send("GET", "/why/abcdefgh", nil))
	if _, _, page := v.send("GET", "/why/abcdefgh", nil); strings.Count(page, "Ask on the command line") != 1 {
		t.Errorf("the hint is not there once:\n%s", page)
	}
	v.login(password)
	v.wants(404, "/why/%3Cb%3Eabcdefgh", "&lt;b&gt;abcdefgh")(v.send("GET", "/why/%3Cb%3Eabcdefgh", nil))
	journal, err := failures.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	must(t, err)
	journal.Add(hop3.Failure{ID: "abcdefgh", App: "blog", Release: 1, Time: time.Now(), Status: 502, Cause: "<i>cause"})
	w.platform.Failures = journal
	status, _, page := v.send("GET", "/why/abcdefgh", nil)
	if status != 404 || strings.Contains(page, "502") {
		t.Errorf("an app that is none of theirs: %d\n%s", status, page)
	}
	_, err = w.platform.CreateApp(t.Context(), platform.Actor{Username: "root", Admin: true}, "blog")
	must(t, err)
	status, _, page = v.send("GET", "/why/abcdefgh", nil)
	if status != 200 || !strings.Contains(page, "blog · 502 · &lt;i&gt;cause") || !strings.Contains(page, "<title>What happened</title>") {
		t.Errorf("%d\n%s", status, page)
	}
}
