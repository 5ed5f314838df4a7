package rpc_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/oidc"
	"github.com/abilian/hop3/hop3/platform"
)

var host = platform.Actor{Username: "host", Admin: true}

// trusts has the server send people to an issuer.
func (w *world) trusts(issuer, secret string, rules hop3.SignOnRules) {
	w.t.Helper()
	provider, err := oidc.New(oidc.Options{
		Issuer: issuer, ClientID: "hop3", ClientSecret: secret, RedirectURL: w.server.URL + "/auth/oidc/callback",
		Scopes: []string{"openid", "profile", "email"}, UsernameClaim: "preferred_username", GroupsClaim: "groups",
	})
	must(w.t, err)
	rules.Label = "Log in with Example"
	w.platform.SignOn, w.platform.Settings.SignOn = provider, rules
	w.server.Config.Handler = fromElsewhere{w.handler}
}

// ada is the only user of the real provider.
type ada struct{}

func (ada) user() *storage.User {
	return &storage.User{ID: "subject-1", Username: "Ada", Password: "lovelace", Email: "ada@example.org", EmailVerified: true}
}
func (a ada) GetUserByID(string) *storage.User       { return a.user() }
func (a ada) GetUserByUsername(string) *storage.User { return a.user() }
func (ada) ExampleClientID() string                  { return "service" }

// Somebody logs in at a provider that is not ours to write: Zitadel's. What it
// says of them is not in the ID token; it is asked for it.
func TestSingleSignOn(t *testing.T) {
	w := newWorld(t)
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String()
	storage.RegisterClients(storage.WebClient("hop3", "s3cret of hop3", w.server.URL+"/auth/oidc/callback"))
	server.Config.Handler = exampleop.SetupServer(issuer, storage.NewStorage(ada{}), slog.New(slog.DiscardHandler), false)
	server.Start()
	t.Cleanup(server.Close)
	w.trusts(issuer, "s3cret of hop3", hop3.SignOnRules{Create: true, Domains: []string{"Example.org"}})

	v := w.visitor()
	v.wants(200, "/auth/login", `href="/auth/oidc/start"`)(v.send("GET", "/auth/login", nil))
	atProvider := func() (address string, fields url.Values) {
		t.Helper()
		_, path, page := v.send("GET", "/auth/oidc/start?next=/auth/device", nil)
		m := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("at %s there is\n%s", path, page)
		}
		return issuer + "/login/username", form("id", m[1], "username", "Ada", "password", "lovelace")
	}
	address, fields := atProvider()
	v.wants(200, "/auth/device", "logged in as ada")(v.send("POST", address, fields))
	if got := w.texts(w.admin, "user", "show", "ada"); !strings.Contains(strings.Join(got, "\n"), "Email: ada@example.org") {
		t.Errorf("the account is %v", got)
	}
	token := v.cookie("hop3_auth").Value
	if status, _ := w.post(token, request("apps")); status != 200 {
		t.Errorf("the login is good for nothing: %d", status)
	}
	// The same person comes again.
	v = w.visitor()
	address, fields = atProvider()
	v.wants(200, "/auth/device", "logged in as ada")(v.send("POST", address, fields))
	must(t, w.platform.SetActive(t.Context(), host, "ada", false))
	v = w.visitor()
	address, fields = atProvider()
	status, _, page := v.send("POST", address, fields)
	if status != 403 || !strings.Contains(page, "disabled") || v.cookie("hop3_auth") != nil {
		t.Errorf("a disabled user: %d\n%s", status, page)
	}
}

// forger is a provider that can be made to lie: no real one would. What it says
// of somebody is claims; each change makes one answer a lie.
type forger struct {
	t      *testing.T
	server *httptest.Server
	key    *rsa.PrivateKey

	mu        sync.Mutex
	claims    jwt.MapClaims
	change    func(jwt.MapClaims)
	sign      func(jwt.MapClaims) string
	answer    func(url.Values) // what the browser is sent back with
	nonce     string
	challenge string
	sloppy    bool // takes a code twice
	used      bool
	calls     int // of the token endpoint
}

func newForger(t *testing.T, w *world, rules hop3.SignOnRules) *forger {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	f := &forger{t: t, key: key, claims: jwt.MapClaims{"sub": "subject-1", "preferred_username": "ada", "email": "ada@example.org", "email_verified": true, "groups": []string{}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", f.discovery)
	mux.HandleFunc("GET /keys", f.keys)
	mux.HandleFunc("GET /authorize", f.authorize)
	mux.HandleFunc("POST /token", f.token)
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	w.trusts(f.server.URL, "s3cret", rules)
	return f
}

func (f *forger) write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	must(f.t, json.NewEncoder(w).Encode(v))
}

func (f *forger) discovery(w http.ResponseWriter, _ *http.Request) {
	at := f.server.URL
	f.write(w, map[string]any{"issuer": at, "authorization_endpoint": at + "/authorize", "token_endpoint": at + "/token", "jwks_uri": at + "/keys",
		"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}})
}

func (f *forger) keys(w http.ResponseWriter, _ *http.Request) {
	b64 := base64.RawURLEncoding.EncodeToString
	f.write(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256",
		"n": b64(f.key.N.Bytes()), "e": b64(big.NewInt(int64(f.key.E)).Bytes())}}})
}

func (f *forger) authorize(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := r.URL.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" || q.Get("client_id") != "hop3" {
		f.t.Errorf("it asks for %v", q)
	}
	f.nonce, f.challenge, f.used = q.Get("nonce"), q.Get("code_challenge"), false
	back := url.Values{"code": {"the code"}, "state": {q.Get("state")}}
	if f.answer != nil {
		f.answer(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (f *forger) token(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	user, secret, _ := r.BasicAuth()
	if base64.RawURLEncoding.EncodeToString(sum[:]) != f.challenge || user != "hop3" || secret != "s3cret" || f.used && !f.sloppy {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		must(f.t, json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant"}))
		return
	}
	f.used = true
	c := jwt.MapClaims{"iss": f.server.URL, "aud": "hop3", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "nonce": f.nonce}
	for name, value := range f.claims {
		c[name] = value
	}
	if f.change != nil {
		f.change(c)
	}
	sign := f.sign
	if sign == nil {
		sign = f.with(jwt.SigningMethodRS256, f.key)
	}
	f.write(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": sign(c)})
}

func (f *forger) with(method jwt.SigningMethod, key any) func(jwt.MapClaims) string {
	return func(c jwt.MapClaims) string {
		token := jwt.NewWithClaims(method, c)
		token.Header["kid"] = "1"
		text, err := token.SignedString(key)
		must(f.t, err)
		return text
	}
}

func TestForgedSignOns(t *testing.T) {
	w := newWorld(t)
	f := newForger(t, w, hop3.SignOnRules{Create: true, Domains: []string{"*"}})
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	refusedNow := func(name string, v *visitor) {
		t.Helper()
		status, _, page := v.send("GET", "/auth/oidc/start", nil)
		if status != 401 || !strings.Contains(page, "The login was not finished") || v.cookie("hop3_auth") != nil {
			t.Errorf("%s: %d\n%s", name, status, page[max(0, len(page)-400):])
		}
	}
	for name, change := range map[string]func(jwt.MapClaims){
		"another issuer":       func(c jwt.MapClaims) { c["iss"] = "https://evil.example" },
		"another audience":     func(c jwt.MapClaims) { c["aud"] = "somebody" },
		"several audiences":    func(c jwt.MapClaims) { c["aud"] = []string{"hop3", "somebody"} },
		"another party":        func(c jwt.MapClaims) { c["azp"] = "somebody" },
		"expired":              func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() },
		"without an end":       func(c jwt.MapClaims) { delete(c, "exp") },
		"of the future":        func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() },
		"another nonce":        func(c jwt.MapClaims) { c["nonce"] = "x" },
		"without a nonce":      func(c jwt.MapClaims) { delete(c, "nonce") },
		"without a subject":    func(c jwt.MapClaims) { c["sub"] = "" },
		"a subject of a book":  func(c jwt.MapClaims) { c["sub"] = strings.Repeat("x", 2000) },
		"a subject of numbers": func(c jwt.MapClaims) { c["sub"] = 7 },
	} {
		f.change = change
		refusedNow(name, w.visitor())
	}
	f.change = nil
	for name, sign := range map[string]func(jwt.MapClaims) string{
		"no algorithm":    f.with(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"our own secret":  f.with(jwt.SigningMethodHS256, []byte("s3cret")),
		"another key":     f.with(jwt.SigningMethodRS256, other),
		"no token":        func(jwt.MapClaims) string { return "" },
		"a cut signature": func(c jwt.MapClaims) string { s := f.with(jwt.SigningMethodRS256, f.key)(c); return s[:len(s)-8] },
	} {
		f.sign = sign
		refusedNow(name, w.visitor())
	}
	f.sign = nil
	for name, answer := range map[string]func(url.Values){
		"another state":          func(q url.Values) { q.Set("state", "x") },
		"without a state":        func(q url.Values) { q.Del("state") },
		"an answer of another's": func(q url.Values) { q.Set("iss", "https://evil.example") },
		"an error":               func(q url.Values) { q.Set("error", "access_denied") },
		"without a code":         func(q url.Values) { q.Del("code") },
	} {
		before := f.calls
		f.answer = answer
		refusedNow(name, w.visitor())
		if f.calls != before {
			t.Errorf("%s: the provider was asked", name)
		}
	}
	f.answer = nil
	if got := strings.Join(w.texts(w.admin, "user", "list"), "\n"); strings.Contains(got, "ada") {
		t.Errorf("an account was made:\n%s", got)
	}
	// So is none of them refused for another reason.
	v := w.visitor()
	v.wants(200, "/auth/profile", "ada")(v.send("GET", "/auth/oidc/start", nil))
}

// What comes back counts once, and in the browser that it was begun in.
func TestSignOnsAreNotReplayed(t *testing.T) {
	w := newWorld(t)
	f := newForger(t, w, hop3.SignOnRules{Create: true, Domains: []string{"*"}})
	f.sloppy = true
	var address string
	v := w.visitor()
	v.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/auth/oidc/callback" {
			address = r.URL.RequestURI()
			return http.ErrUseLastResponse
		}
		return nil
	}
	v.send("GET", "/auth/oidc/start", nil)
	attempt := v.cookie("hop3_sign_on").Value
	v.client.CheckRedirect = nil
	stranger := w.visitor()
	stranger.wants(401, address, "begun in another browser")(stranger.send("GET", address, nil))
	stranger.wants(401, address, "begun in another browser")(stranger.send("GET", address, nil, "Cookie", "hop3_sign_on="+w.user))
	half := len(attempt) / 2
	stranger.wants(401, address, "begun in another browser")(stranger.send("GET", address, nil, "Cookie", "hop3_sign_on="+attempt[:half]+"AA"+attempt[half+2:]))
	if status, _ := w.post(attempt, request("apps")); status != 401 {
		t.Errorf("an attempt is a token: %d", status)
	}
	f.challenge = "of another verifier"
	stranger.wants(401, address, "begun in another browser")(stranger.send("GET", address, nil, "Cookie", "hop3_sign_on="+attempt))

	v = w.visitor()
	v.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/auth/oidc/callback" {
			address = r.URL.RequestURI()
			return http.ErrUseLastResponse
		}
		return nil
	}
	v.send("GET", "/auth/oidc/start", nil)
	attempt = v.cookie("hop3_sign_on").Value
	v.client.CheckRedirect = nil
	v.wants(200, "/auth/profile", "ada")(v.send("GET", address, nil))
	if v.cookie("hop3_sign_on") != nil {
		t.Error("the attempt is kept")
	}
	stranger.wants(401, address, "took too long")(stranger.send("GET", address, nil, "Cookie", "hop3_sign_on="+attempt))
	if stranger.cookie("hop3_auth") != nil {
		t.Error("a code was good twice")
	}
}

// Whoever a provider says somebody is, they get no account that is another's.
func TestSignOnTakesNoAccountOver(t *testing.T) {
	w := newWorld(t)
	f := newForger(t, w, hop3.SignOnRules{Create: true, Domains: []string{"example.org"}})
	try := func(status int, words string, claims ...string) *visitor {
		t.Helper()
		f.change = func(c jwt.MapClaims) {
			for i := 0; i < len(claims); i += 2 {
				c[claims[i]] = claims[i+1]
			}
		}
		v := w.visitor()
		got, _, page := v.send("GET", "/auth/oidc/start", nil)
		if got != status || !strings.Contains(page, words) || (v.cookie("hop3_auth") != nil) != (status == 200) {
			t.Errorf("%v: %d, want %d with %q in\n%s", claims, got, status, words, page[max(0, len(page)-500):])
		}
		return v
	}
	try(409, "There is an account &#39;root&#39; already", "preferred_username", "root")
	try(409, "There is an account &#39;alice&#39; already", "preferred_username", "ALICE", "email", "alice@example.org")
	for _, name := range []string{"", "../root", "a b", "<script>", "host", "x\x1b[31m", strings.Repeat("x", 81), "-u", "аlice"} {
		try(403, "cannot be a username", "preferred_username", name)
	}
	try(403, "no e-mail address that it has verified", "email_verified", "false")
	try(403, "no addresses of your domain", "email", "ada@evil.example")
	try(403, "no addresses of your domain", "email", "ada@example.org@evil.example")
	w.platform.Settings.SignOn.Create = false
	try(403, "No account of this server is linked to you")
	if got := strings.Join(w.texts(w.admin, "user", "list"), "\n"); !strings.Contains(got, "Total users: 2") {
		t.Errorf("an account was made:\n%s", got)
	}

	// Its owner links it, logged in; then the provider is enough, but for the
	// second factor.
	f.change = nil
	v := w.visitor()
	v.wants(200, "/auth/login", "Log in")(v.send("POST", "/auth/oidc/link", form()))
	v.login(password)
	v.wants(403, "/auth/oidc/link", "")(v.send("POST", "/auth/oidc/link", form(), "Sec-Fetch-Site", "same-site"))
	_, _, page := v.send("POST", "/auth/oidc/link", form())
	m := regexp.MustCompile(`href="(http://[^"]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("there is no way on in\n%s", page)
	}
	v.wants(200, "/auth/profile", "is linked to Log in with Example")(v.send("GET", html.UnescapeString(m[1]), nil))
	try(200, "alice")
	recovery := w.secondFactor(w.texts("", "auth", "get-token", "alice", password)[0])
	v = w.visitor()
	_, _, page = v.send("GET", "/auth/oidc/start", nil)
	m = regexp.MustCompile(`name="link" value="([^"]+)"`).FindStringSubmatch(page)
	if m == nil || v.cookie("hop3_auth") != nil {
		t.Fatalf("no second factor was asked for:\n%s", page)
	}
	v.wants(200, "/auth/profile", "alice")(v.send("POST", "/auth/code", form("link", m[1], "code", recovery[0])))

	// The identity of one account is not that of another.
	other := w.visitor()
	other.send("POST", "/auth/login", form("username", "root", "password", password))
	_, _, page = other.send("POST", "/auth/oidc/link", form())
	m = regexp.MustCompile(`href="(http://[^"]+)"`).FindStringSubmatch(page)
	_, _, page = other.send("GET", html.UnescapeString(m[1]), nil)
	if !strings.Contains(page, "is linked to an account already") {
		t.Errorf("it can be linked twice:\n%s", page)
	}
	w.says("User 'alice' is not linked to single sign-on any more", w.admin, "user", "unlink", "alice")
	w.says("error 404", w.admin, "user", "unlink", "alice")
	try(403, "No account of this server is linked to you")
}

// Groups of the provider give roles, and take them away again.
func TestGroupsGiveRoles(t *testing.T) {
	w := newWorld(t)
	groups, err := hop3.ParseGroupRoles("staff=web:deployer, guests=web:viewer, ops=admin")
	must(t, err)
	f := newForger(t, w, hop3.SignOnRules{Create: true, Groups: groups})
	must(t, w.platform.CreateTeam(t.Context(), host, "web"))
	come := func(status int, in ...string) {
		t.Helper()
		f.change = func(c jwt.MapClaims) { c["groups"] = in }
		v := w.visitor()
		if got, _, page := v.send("GET", "/auth/oidc/start", nil); got != status {
			t.Errorf("in %v: %d\n%s", in, got, page[max(0, len(page)-400):])
		}
	}
	holds := func(want hop3.Rights) {
		t.Helper()
		got, err := w.platform.Store.Rights(t.Context(), "ada")
		must(t, err)
		if got.Role != want.Role || len(got.Teams) != len(want.Teams) || got.Teams["web"] != want.Teams["web"] {
			t.Errorf("the rights are %+v, want %+v", got, want)
		}
	}
	come(403, "others")
	if got := strings.Join(w.texts(w.admin, "user", "list"), "\n"); strings.Contains(got, "ada") {
		t.Errorf("an account was made:\n%s", got)
	}
	come(200, "staff", "guests")
	holds(hop3.Rights{Teams: map[string]hop3.Role{"web": hop3.RoleDeployer}})
	come(200, "guests")
	holds(hop3.Rights{Teams: map[string]hop3.Role{"web": hop3.RoleViewer}})
	come(200, "ops")
	holds(hop3.Rights{Role: hop3.RoleAdmin})
	come(403)
	holds(hop3.Rights{})
}
