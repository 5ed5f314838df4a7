package caddymodules

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/abilian/hop3/hop3"
)

func hashed(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func TestPolicy_Addresses(t *testing.T) {
	s := startServer(t, func(o *BaseOptions) { o.TrustedProxies = []string{"127.0.0.0/8"} })
	app := backend(t, says("ok"))
	for _, c := range []struct{ allow, deny, protect, from, path string }{
		{allow: "10.0.0.0/8", from: "10.1.2.3"},
		{allow: "10.0.0.0/8", from: "::ffff:10.1.2.3"},
		{deny: "10.0.0.0/8", from: "192.0.2.1"},
		{allow: "2001:db8::/32", from: "2001:db8::7"},
		{allow: "10.0.0.0/8", protect: "/admin", from: "192.0.2.1", path: "public"},
	} {
		for _, refused := range []bool{false, true} {
			from := c.from
			if refused {
				if from = "192.0.2.99"; c.deny != "" {
					from = "10.9.9.9"
				}
				if c.protect != "" {
					c.path = "admin"
				}
			}
			var settings []string
			for key, v := range map[string]string{"allow": c.allow, "deny": c.deny, "protect": c.protect} {
				if v != "" {
					settings = append(settings, key, v)
				}
			}
			s.policed("blog", []string{app}, settings...)
			want := 200
			if refused {
				want = 403
			}
			if a := s.get("http://blog.localhost/"+c.path, "X-Forwarded-For", from); a.StatusCode != want {
				t.Errorf("%+v from %s: %s, want %d", c, from, a.Status, want)
			}
		}
	}
	// One that no trusted proxy vouches for cannot say where it is from.
	s.policed("blog", []string{app}, "allow", "10.0.0.0/8")
	for _, spoofed := range []string{"", "nonsense", "10.0.0.1, 192.0.2.1"} {
		if a := s.get("http://blog.localhost/", "X-Forwarded-For", spoofed, "X-Real-Ip", "10.0.0.1", "Forwarded", "for=10.0.0.1"); a.StatusCode != 403 {
			t.Errorf("%q: %s", spoofed, a.Status)
		}
	}
}

func TestPolicy_AClientCannotSayItIsAllowed(t *testing.T) {
	s := startServer(t)
	s.policed("blog", []string{backend(t, says("ok"))}, "allow", "10.0.0.0/8")
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X_forwarded_for", "Cf-Connecting-Ip", "True-Client-Ip", "Client-Ip"} {
		if a := s.get("http://blog.localhost/", name, "10.0.0.1"); a.StatusCode != 403 {
			t.Errorf("%s: %s", name, a.Status)
		}
	}
}

func TestPolicy_BasicAuth(t *testing.T) {
	s := startServer(t)
	app := backend(t, says("secret"))
	s.policed("blog", []string{app}, "basic-auth.ada", hashed(t, "correct horse"), "protect", "/admin",
		"basic-auth.bob", "$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	ask := func(user, password string) answer {
		req, _ := http.NewRequest("GET", "http://blog.localhost/admin", nil)
		req.SetBasicAuth(user, password)
		return s.get("http://blog.localhost/admin", "Authorization", req.Header.Get("Authorization"))
	}
	for range 2 { // what was right is remembered
		if a := ask("ada", "correct horse"); a.StatusCode != 200 || a.text != "secret" {
			t.Errorf("%s %q", a.Status, a.text)
		}
	}
	for _, c := range [][2]string{{"ada", "wrong"}, {"bob", "correct horse"}, {"eve", "correct horse"}, {"", ""}, {"ada", ""}, {"ada", strings.Repeat("x", 5000)}} {
		a := ask(c[0], c[1])
		if a.StatusCode != 401 || a.text == "secret" || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), `Basic realm="blog"`) {
			t.Errorf("%s: %s %q", c[0], a.Status, a.text)
		}
	}
	if a := s.get("http://blog.localhost/admin", "Authorization", "Bearer x"); a.StatusCode != 401 {
		t.Errorf("%s", a.Status)
	}
	if a := s.get("http://blog.localhost/"); a.StatusCode != 200 {
		t.Errorf("what is not protected: %s", a.Status)
	}
	// A changed password is not remembered.
	s.policed("blog", []string{app}, "basic-auth.ada", hashed(t, "another horse"))
	if a := ask("ada", "correct horse"); a.StatusCode != 401 {
		t.Errorf("the old password: %s", a.Status)
	}
}

func TestPolicy_APathCannotBeReachedAnotherWay(t *testing.T) {
	s := startServer(t)
	s.policed("blog", []string{backend(t, says("secret"))}, "basic-auth.ada", hashed(t, "correct horse"), "protect", "/admin")
	for _, path := range []string{
		"/admin", "//admin", "/./admin", "/%61dmin", "/%2561dmin", "/ADMIN", "/admin/", "/admin/..;/", "/x/..;/admin", "/x/../admin", "/admin;x=y",
		"/x%2f..%2fadmin", "/%2fadmin", "/%5cadmin", "/admin%00", "/admin%20", "/admin%3f", "/;/admin", "/admin%2fx",
	} {
		for _, host := range []string{"blog.localhost", "BLOG.localhost", "blog.localhost.", "blog.localhost:1234"} {
			got := s.raw("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
			if strings.Contains(got, "secret") || strings.HasPrefix(got, "HTTP/1.1 200") {
				t.Errorf("%s of %s gets by: %.60q", path, host, got)
			}
		}
	}
	// The absolute form names the host that counts.
	if got := s.raw("GET http://blog.localhost/admin HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n"); strings.Contains(got, "secret") {
		t.Errorf("the absolute form gets by: %.60q", got)
	}
	if got := s.raw("GET /public HTTP/1.1\r\nHost: blog.localhost\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("%.60q", got)
	}
}

func TestPolicy_RateLimit(t *testing.T) {
	s := startServer(t, func(o *BaseOptions) { o.TrustedProxies = []string{"127.0.0.0/8"} })
	app := backend(t, says("ok"))
	route := s.policed("blog", []string{app}, "rate-limit", "2/h burst 3")
	from := func(addr string) answer { return s.get("http://blog.localhost/", "X-Forwarded-For", addr) }
	for i := range 3 {
		if a := from("192.0.2.1"); a.StatusCode != 200 {
			t.Errorf("request %d: %s", i, a.Status)
		}
	}
	if a := from("192.0.2.1"); a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", a.Status, a.Header.Get("Retry-After"))
	}
	if a := from("192.0.2.2"); a.StatusCode != 200 {
		t.Errorf("another client: %s", a.Status)
	}
	for i, want := range []int{200, 200, 200, 429} { // all of one /64
		if a := from(fmt.Sprintf("2001:db8::%d", i+1)); a.StatusCode != want {
			t.Errorf("IPv6 %d: %s", i, a.Status)
		}
	}
	route.Release = 2
	s.set(route)
	if a := from("192.0.2.1"); a.StatusCode != 429 {
		t.Errorf("a new release forgets who asked too often: %s", a.Status)
	}
}

func TestRates(t *testing.T) {
	c := newVisitors(hop3.RateLimit{Requests: 10, Per: time.Second, Burst: 5})
	now := time.Unix(1_000_000, 0)
	addr := addrOf("192.0.2.1")
	served := 0
	for range 1000 { // ten seconds at 100 a second
		if c.take(addr, now) == 0 {
			served++
		}
		now = now.Add(10 * time.Millisecond)
	}
	if served < 100 || served > 106 {
		t.Errorf("%d requests were served in 10 s, want about 104", served)
	}
	for i := range 200_000 {
		c.take(addrOf(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)), now)
	}
	kept := 0
	for i := range c.shards {
		kept += len(c.shards[i].next)
	}
	if kept > visitorShards*visitorsInShard {
		t.Errorf("%d clients are remembered", kept)
	}
}

func TestPolicy_MaxBody(t *testing.T) {
	s := startServer(t)
	var got atomic.Int64
	s.policed("blog", []string{backend(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		got.Store(n)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	})}, "max-body", "1k")
	if a := s.do("POST", "http://blog.localhost/", strings.Repeat("x", 1024)); a.StatusCode != 200 || got.Load() != 1024 {
		t.Errorf("%s, the app got %d", a.Status, got.Load())
	}
	if a := s.do("POST", "http://blog.localhost/", strings.Repeat("x", 1025)); a.StatusCode != 413 {
		t.Errorf("%s", a.Status)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://blog.localhost/", io.MultiReader(bytes.NewReader(make([]byte, 900)), bytes.NewReader(make([]byte, 900))))
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.client.Do(req) // chunked
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 || got.Load() > 1024 {
		t.Errorf("chunked: %s, the app got %d", res.Status, got.Load())
	}
}
