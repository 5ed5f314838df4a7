package waf

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/abilian/hop3/hop3"
)

func TestGatesAreNotEvaded(t *testing.T) {
	p := newPost(t, func(*Request) (Finding, error) { return Finding{}, nil })
	p.SetNetworks([]hop3.Network{{Name: "office", CIDRs: []string{"203.0.113.0/24", "2001:db8:1::/48"}}})
	gated := p.policy(hop3.WAF{Gates: []hop3.WAFGate{{Paths: []string{"/admin(/.*)?", `/wp-login\.php`}, Network: "office"}}})
	for _, path := range []string{
		"/admin", "/admin/", "/admin/x", "/ADMIN/x", "/%61dmin", "/%2561dmin", "/%252561dmin", "//admin", "/x/../admin", "/./admin", "/%2e/admin",
		"/x/%2e%2e/admin", "/x/..%2fadmin", "/x%2f..%2fadmin", `/x/..\admin`, `\admin`, "/admin;x=1", "/admin;/x", "/;a/admin", "/admin%20", "/admin.", "/admin%00.css",
		"/admin%3fx", "/admin%23", "/admin%0a", "/admin/%0ax", "/x/..;/admin", "/;x%00/admin", "/;%2fa/admin", "/;%5ca/admin", `/;\a/admin`, "/%5cadmin", "/%25252525252561dmin", "/wp-login.php", "/wp-login.php/x", "/WP-LOGIN.PHP/", "/wp-login.php%2fx",
	} {
		v := visit("GET", path, "192.0.2.1")
		if verdict, _ := p.ask(gated, v, ""); verdict != Refuse {
			t.Errorf("%s gets through", path)
		}
	}
	for _, path := range []string{"/", "/administrator", "/x/admin", "/wp-login.phpx", "/admin-x/", "/caf%C3%A9"} {
		if verdict, _ := p.ask(gated, visit("GET", path, "192.0.2.1"), ""); verdict != Pass {
			t.Errorf("%s is gated: %v", path, p.events())
		}
	}
	for from, want := range map[string]Verdict{"203.0.113.7": Pass, "2001:db8:1::9": Pass, "2001:db8:2::9": Refuse, "203.0.114.7": Refuse, "": Refuse} {
		if verdict, _ := p.ask(gated, visit("GET", "/admin/x", from), ""); verdict != want {
			t.Errorf("from %q: %d", from, verdict)
		}
	}
	p.SetNetworks(nil)
	if verdict, _ := p.ask(gated, visit("GET", "/admin/x", "203.0.113.7"), ""); verdict != Refuse {
		t.Error("a network that is gone lets in")
	}
	only := p.policy(hop3.WAF{Detect: true, Gates: []hop3.WAFGate{{Paths: []string{"/admin"}, Network: "office"}}})
	if verdict, _ := p.ask(only, visit("GET", "/admin", "192.0.2.1"), ""); verdict != Pass || !strings.HasPrefix(p.events()[len(p.events())-1], "detect gate office") {
		t.Errorf("only detected: %d, %v", verdict, p.events())
	}
}

func TestOnlyAllowedPathsAreThere(t *testing.T) {
	p := newPost(t, func(*Request) (Finding, error) { return Finding{}, nil })
	p.SetNetworks([]hop3.Network{{Name: "office", CIDRs: []string{"203.0.113.0/24"}}})
	policy := p.policy(hop3.WAF{Allow: []string{"/", "/static/.*", "/api/[a-z]+", "/a b"}, Gates: []hop3.WAFGate{{Paths: []string{"/admin"}, Network: "office"}}})
	for path, want := range map[string]Verdict{
		"/": Pass, "/static/a.css": Pass, "/api/users": Pass, "/a%20b": Pass, "/static/%C3%A9.css": Pass, "/static//a.css": Pass, "/static/a;v=1.css": Pass,
		"/x": Refuse, "/API/users": Refuse, "/api/users/": Refuse, "/api/users1": Refuse, "/static/../x": Refuse, "/static/%2e%2e/x": Refuse, "/static/..%2fx": Refuse,
		"/static/%252e%252e/x": Refuse, "/api/users;x": Refuse, "/api/users%00": Refuse, "/xstatic/": Refuse, "/static/..;/x": Refuse, "//static/x": Refuse,
		`/static/..\x`: Refuse, "/static%2fa": Pass, "/admin": Refuse,
	} {
		if verdict, _ := p.ask(policy, visit("GET", path, "192.0.2.1"), ""); verdict != want {
			t.Errorf("%s: %d, want %d", path, verdict, want)
		}
	}
	// A gate that is open is a place of its own.
	if verdict, _ := p.ask(policy, visit("GET", "/admin", "203.0.113.1"), ""); verdict != Pass {
		t.Errorf("the open gate leads nowhere: %d", verdict)
	}
}

func TestTuningHoldsForItsPathsOnly(t *testing.T) {
	p := newPost(t, nil)
	attack := "?id=" + url.QueryEscape("1' OR '1'='1' -- ")
	all := []int{}
	for rule := range p.mustEngine().(*crs).rules {
		all = append(all, rule)
	}
	policy := p.policy(hop3.WAF{Tunings: []hop3.WAFTuning{{Paths: []string{"/admin/.*"}, Rules: all, SkipBody: true}}})
	for path, want := range map[string]Verdict{
		"/admin/x": Pass, "/admin/%C3%A9": Pass, "/x": Refuse, "/admin": Refuse, "/Admin/x": Refuse, "/admin/../x": Refuse, "/admin/%2e%2e/x": Refuse,
		"/admin/%252e%252e/x": Refuse, "/x;/admin/y": Refuse, "/admin/..;/x": Refuse, "//admin/x": Refuse, `/admin/..\x`: Refuse, "/admin;/../x": Refuse,
	} {
		if verdict, _ := p.ask(policy, visit("GET", path+attack, "192.0.2.1"), ""); verdict != want {
			t.Errorf("%s: %d, want %d", path, verdict, want)
		}
	}
	everywhere := p.policy(hop3.WAF{Tunings: []hop3.WAFTuning{{Rules: all}}})
	if verdict, _ := p.ask(everywhere, visit("GET", "/a/../b"+attack, "192.0.2.1"), ""); verdict != Pass {
		t.Errorf("a tuning without paths: %d", verdict)
	}
}

func (p *post) mustEngine() Engine {
	e, err := p.engine(1)
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

// TestNoReadingOfAPathIsMissed makes paths out of parts that servers read in
// different ways. Whatever way a server that decodes, cleans and cuts reads one,
// a gate for that covers it; and no tuning for another path holds for it.
func TestNoReadingOfAPathIsMissed(t *testing.T) {
	p := newPost(t, func(*Request) (Finding, error) { return Finding{}, nil })
	gated := p.policy(hop3.WAF{Gates: []hop3.WAFGate{{Paths: []string{"/b(/.*)?"}, Network: "nobody"}}})
	tuned := p.policy(hop3.WAF{Tunings: []hop3.WAFTuning{{Paths: []string{"/a(/.*)?"}, Rules: []int{942100}}}})
	part := rapid.SampledFrom([]string{"/", "a", "b", "..", ".", ";x", "%2e", "%2E", "%2f", "%5c", `\`, "%252e", "%252f", "%61", "%62", "%3b", "%00", "//", "B", "%"})
	rapid.Check(t, func(t *rapid.T) {
		sent := "/" + strings.Join(rapid.SliceOfN(part, 1, 8).Draw(t, "parts"), "")
		covered := gated.access(read(sent), func(string) bool { return false }) != ""
		disabled, _ := tuned.relief(read(sent))
		for _, seen := range serverReadings(sent) {
			if (seen == "/b" || strings.HasPrefix(seen, "/b/")) && (!covered || len(disabled) > 0) {
				t.Fatalf("%q is %q to a server: gated %v, disabled %v", sent, seen, covered, disabled)
			}
		}
	})
}

// serverReadings are the paths that servers of several kinds serve for one.
func serverReadings(sent string) []string {
	var out []string
	decoded := sent
	for range 3 {
		for _, slashes := range []bool{false, true} {
			for _, parameters := range []bool{false, true} {
				p := decoded
				if slashes {
					p = strings.ReplaceAll(p, `\`, "/")
				}
				if parameters {
					segments := strings.Split(p, "/")
					for i := range segments {
						segments[i], _, _ = strings.Cut(segments[i], ";")
					}
					p = strings.Join(segments, "/")
				}
				out = append(out, p, path.Clean(p), strings.ToLower(path.Clean(p)))
				if cut, _, ok := strings.Cut(p, "\x00"); ok {
					out = append(out, path.Clean(cut))
				}
			}
		}
		next, err := url.PathUnescape(decoded)
		if err != nil {
			break
		}
		decoded = next
	}
	return out
}

func FuzzRequests(f *testing.F) {
	f.Add("GET", "/a%2f..;/b?x=1", "Content-Type", "application/json", "{}")
	f.Add("POST", "/", "Content-Type", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--")
	f.Add("POST", "/", "Content-Type", "text/xml", "<a><b c='d'/>")
	g := &post{t: f}
	g.Guard = newPost(f, nil).Guard
	policy := g.policy(hop3.WAF{Paranoia: 4, Allow: []string{"/.*"}, Gates: []hop3.WAFGate{{Paths: []string{"/b(/.*)?"}, Network: "x"}}})
	engine := g.mustEngine()
	f.Fuzz(func(t *testing.T, method, uri, name, value, body string) {
		v := visit(method, uri, "192.0.2.1", name, value)
		r := read(v.Path)
		if len(r.paths) == 0 || len(r.paths) > mostReadings {
			t.Fatalf("%d readings", len(r.paths))
		}
		g.Admit(policy, v)
		// The engine itself, so that a panic is seen.
		v.Body = []byte(body)[:min(len(body), 4096)]
		if _, err := engine.Inspect(&v.Request); err != nil {
			t.Fatal(err)
		}
	})
}
