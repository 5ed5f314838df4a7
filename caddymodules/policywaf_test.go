package caddymodules

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/waf"
)

// fenced is a route with a firewall. Clients say where they are from: the
// server takes the machine for a trusted proxy.
func fenced(t testing.TB, s *server, upstream string, w hop3.WAF, settings ...string) {
	t.Helper()
	if w.Paranoia == 0 {
		w.Paranoia = 1
	}
	all := hop3.HTTPSettings{}
	for i := 0; i < len(settings); i += 2 {
		all[settings[i]] = settings[i+1]
	}
	p, err := all.Policy()
	if err != nil {
		t.Fatal(err)
	}
	if p == nil {
		p = &hop3.HTTPPolicy{}
	}
	p.WAF = &w
	s.set(hop3.Route{App: "blog", Release: 1, Hosts: []string{"blog.localhost"}, Upstreams: []string{upstream}, Policy: p})
}

func behindProxy(o *BaseOptions) { o.TrustedProxies = []string{"127.0.0.0/8"} }

func (s *server) core() *core {
	s.t.Helper()
	app, err := caddy.ActiveContext().App("hop3")
	if err != nil {
		s.t.Fatal(err)
	}
	return app.(*App).core
}

// tellBody answers with the path and the body that the app got.
func tellBody(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %d %v", r.Method, r.URL.Path, len(b), err)
}

func TestFirewall(t *testing.T) {
	s := startServer(t, behindProxy)
	app := backend(t, tellBody)
	attack := "http://blog.localhost/?id=" + url.QueryEscape("1' OR '1'='1' -- ")
	fenced(t, s, app, hop3.WAF{})
	a := s.get(attack, "X-Request-Id", "1234567890abcdef", "Accept", "text/html")
	if a.StatusCode != 403 || !strings.Contains(a.text, "1234567890abcdef") || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s", a.Status, a.text)
	}
	if a := s.do("PUT", "http://blog.localhost/api", `{"a":"b"}`, "Content-Type", "application/json"); a.text != "PUT /api 9 <nil>" {
		t.Errorf("%s %s", a.Status, a.text)
	}
	if a := s.do("POST", "http://blog.localhost/", "q="+url.QueryEscape("<script>alert(1)</script>"), "Content-Type", "application/x-www-form-urlencoded"); a.StatusCode != 403 {
		t.Errorf("%s %s", a.Status, a.text)
	}
	// It streams: a form with a file that nobody could hold.
	const huge = 64 << 20
	form := "--xx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\r\n\r\n"
	body := io.MultiReader(strings.NewReader(form), io.LimitReader(zeros{}, huge), strings.NewReader("\r\n--xx--\r\n"))
	req, err := http.NewRequest("POST", "http://blog.localhost/upload", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "multipart/form-data; boundary=xx")
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if want := fmt.Sprintf("POST /upload %d <nil>", huge+len(form)+len("\r\n--xx--\r\n")); string(text) != want {
		t.Errorf("%s %s, want %s", res.Status, text, want)
	}
	if a := s.do("POST", "http://blog.localhost/", `"`+strings.Repeat("a", waf.BodyLimit)+`"`, "Content-Type", "application/json"); a.StatusCode != 413 {
		t.Errorf("a long body: %s", a.Status)
	}
	if a := s.do("POST", "http://blog.localhost/", `"`+strings.Repeat("a", 100)+`"`, "Content-Type", "application/json"); a.StatusCode != 200 {
		t.Errorf("a body: %s", a.Status)
	}

	// Another policy is in force at once, and nothing is reloaded.
	fenced(t, s, app, hop3.WAF{Detect: true})
	if a := s.get(attack); a.StatusCode != 200 {
		t.Errorf("only detected: %s", a.Status)
	}
	events, err := s.core().Guard.Events("blog", 10)
	if err != nil || len(events) != 4 || events[3].Action != hop3.WAFDetected || !strings.Contains(events[0].Rule, "sqli") || events[0].Request != "1234567890abcdef" || events[0].Path != "/" {
		t.Errorf("%v, %+v", err, events)
	}
	s.set(upstreams("blog", 1, "blog.localhost", app))
	if a := s.get(attack); a.StatusCode != 200 {
		t.Errorf("without: %s", a.Status)
	}
}

func TestFirewall_GatesAndBans(t *testing.T) {
	s := startServer(t, behindProxy)
	guard := s.core().Guard
	guard.SetNetworks([]hop3.Network{{Name: "office", CIDRs: []string{"203.0.113.0/24"}}})
	fenced(t, s, backend(t, tellBody), hop3.WAF{
		Gates: []hop3.WAFGate{{Paths: []string{"/admin(/.*)?"}, Network: "office"}},
		Bans:  &hop3.WAFBans{Threshold: 3, Window: time.Hour, Duration: time.Hour},
	}, "rate-limit", "1000/s")
	status := func(path, from string) int {
		return s.get("http://blog.localhost"+path, "X-Forwarded-For", from).StatusCode
	}
	for from, want := range map[string]int{"203.0.113.5": 200, "192.0.2.5": 403, "2001:db8::1": 403} {
		if got := status("/admin/x", from); got != want {
			t.Errorf("from %s: %d", from, got)
		}
	}
	for range 2 {
		status("/%61dmin", "192.0.2.5")
	}
	if got := status("/", "192.0.2.5"); got != 403 {
		t.Errorf("not banned: %d", got)
	}
	if got := status("/", "192.0.2.6"); got != 200 {
		t.Errorf("a neighbour is banned: %d", got)
	}
	events, err := guard.Events("blog", 10)
	if err != nil || len(events) < 2 || events[len(events)-2].Action != hop3.WAFBanned || events[len(events)-1].Rule != "ban" {
		t.Errorf("%v, %+v", err, events)
	}
}

// A firewall that cannot be made, or is not there, lets nothing pass.
func TestFirewall_FailsClosed(t *testing.T) {
	s := startServer(t, behindProxy)
	app := backend(t, tellBody)
	fenced(t, s, app, hop3.WAF{Tunings: []hop3.WAFTuning{{Rules: []int{1}}}})
	if a := s.get("http://blog.localhost/"); a.StatusCode != 503 {
		t.Errorf("a policy that cannot be compiled: %s", a.Status)
	}
	core := s.core()
	core.Guard = waf.New(waf.Options{Dir: filepath.Join(t.TempDir(), "log"), Logger: slogOf(core.logger), Save: func(hop3.Ban) error { return nil },
		Engine: func(int) (waf.Engine, error) { return panics{}, nil }})
	fenced(t, s, app, hop3.WAF{})
	if a := s.get("http://blog.localhost/"); a.StatusCode != 503 || !strings.Contains(a.text, "Request ") {
		t.Errorf("a rule that panics: %s %s", a.Status, a.text)
	}
	core.Guard = nil
	fenced(t, s, app, hop3.WAF{})
	if a := s.get("http://blog.localhost/"); a.StatusCode != 503 {
		t.Errorf("no firewall: %s", a.Status)
	}
}

// panics stands for an engine with a mistake in it, which the real one has not
// shown us.
type panics struct{}

func (panics) Inspect(*waf.Request) (waf.Finding, error) { panic("in a rule") }
func (panics) Has(int) bool                              { return true }

func BenchmarkFirewall(b *testing.B) {
	for _, c := range []struct {
		name string
		w    *hop3.WAF
		body string
	}{
		{"without", nil, ""},
		{"gates", &hop3.WAF{Gates: []hop3.WAFGate{{Paths: []string{"/admin(/.*)?"}, Network: "office"}}, Tunings: []hop3.WAFTuning{{Paths: []string{"/.*"}, SkipBody: true}}}, ""},
		{"paranoia 1", &hop3.WAF{Paranoia: 1}, ""},
		{"paranoia 4", &hop3.WAF{Paranoia: 4}, ""},
		{"without, 4 KiB of JSON", nil, `{"a":"` + strings.Repeat("some words of text ", 210) + `"}`},
		{"paranoia 1, 4 KiB of JSON", &hop3.WAF{Paranoia: 1}, `{"a":"` + strings.Repeat("some words of text ", 210) + `"}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := startServer(b)
			app := backend(b, says("ok"))
			if s.set(upstreams("blog", 1, "blog.localhost", app)); c.w != nil {
				fenced(b, s, app, *c.w)
			}
			method := http.MethodGet
			if c.body != "" {
				method = http.MethodPost
			}
			b.ReportAllocs()
			for b.Loop() {
				if a := s.do(method, "http://blog.localhost/articles/7?page=2", c.body, "Content-Type", "application/json", "User-Agent", "Mozilla/5.0", "Accept", "*/*"); a.StatusCode != 200 {
					b.Fatal(a.Status, a.text)
				}
			}
		})
	}
}
