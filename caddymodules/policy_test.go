package caddymodules

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// policed is a route with a policy made of settings: names and values in turn.
func (s *server) policed(app string, upstream []string, settings ...string) hop3.Route {
	s.t.Helper()
	all := hop3.HTTPSettings{}
	for i := 0; i < len(settings); i += 2 {
		all[settings[i]] = settings[i+1]
	}
	p, err := all.Policy()
	if err != nil {
		s.t.Fatal(err)
	}
	r := hop3.Route{App: app, Release: 1, Hosts: append([]string{app + ".localhost"}, s.hosts...), Upstreams: upstream, Policy: p}
	if p != nil && p.AllowHTTP != nil {
		r.AllowHTTP = *p.AllowHTTP
	}
	s.set(r)
	return r
}

func TestPolicy_Headers(t *testing.T) {
	s := startServer(t)
	s.hosts = []string{"blog.example.com"}
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "leaky/1.0")
		w.Header().Set("X-Frame-Options", "ALLOWALL")
		if r.URL.Path == "/assets/own" {
			w.Header().Set("Cache-Control", "no-store")
		}
		if r.URL.Path == "/assets/none" {
			w.WriteHeader(404)
		}
	})
	s.policed("blog", []string{app}, "headers.X-Frame-Options", "DENY", "headers.Server", "", "hsts", "1h includeSubDomains",
		"cache-control./assets", "public, max-age=60", "cache-control./assets/big", "public, max-age=600")
	a := s.get("http://blog.localhost/")
	if a.Header.Get("X-Frame-Options") != "DENY" || a.Header.Values("Server") != nil || a.Header.Get("Strict-Transport-Security") != "" || a.Header.Get("Cache-Control") != "" {
		t.Errorf("%v", a.Header)
	}
	if got := s.get("https://blog.localhost/", "Host", "blog.example.com").Header.Get("Strict-Transport-Security"); got != "max-age=3600; includeSubDomains" {
		t.Errorf("HSTS is %q", got)
	}
	for path, want := range map[string]string{"/assets/x.css": "public, max-age=60", "/assets/big/y": "public, max-age=600", "/assets/own": "no-store", "/assets/none": "", "/assetsx": ""} {
		if got := s.get("http://blog.localhost" + path).Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control is %q, want %q", path, got, want)
		}
	}
}

func TestPolicy_Redirects(t *testing.T) {
	s := startServer(t)
	s.hosts = []string{"blog.example.com", "www.blog.example.com"}
	s.policed("blog", []string{backend(t, says("ok"))}, "canonical-host", "www.blog.example.com", "hsts", "on")
	port := fmt.Sprint(s.options.HTTPSPort)
	for from, want := range map[string]string{
		"http://blog.example.com/a%2fb?c":             "https://www.blog.example.com:" + port + "/a%2fb?c", // one step, not two
		"http://www.blog.example.com/":                "https://www.blog.example.com:" + port + "/",
		"https://blog.example.com/a":                  "https://www.blog.example.com/a",
		"https://BLOG.example.com./a":                 "https://www.blog.example.com/a",
		"https://www.blog.example.com/":               "",
		"http://blog.localhost/":                      "",
		"https://WWW.blog.example.com/":               "",
		"https://blog.example.com//evil.com/%0d%0aX:": "https://www.blog.example.com//evil.com/%0d%0aX:",
	} {
		// The certificate is that of a name for which we need not ask anybody.
		scheme, rest, _ := strings.Cut(from, "://")
		host, path, _ := strings.Cut(rest, "/")
		a := s.get(scheme+"://blog.localhost/"+path, "Host", host)
		if got := a.Header.Get("Location"); got != want || (want != "") != (a.StatusCode == 308) {
			t.Errorf("%s: %s to %q, want %q", from, a.Status, got, want)
		}
		if over := strings.HasPrefix(from, "https:"); over != (a.Header.Get("Strict-Transport-Security") != "") {
			t.Errorf("%s: HSTS is %q", from, a.Header.Get("Strict-Transport-Security"))
		}
	}
	s.policed("blog", []string{backend(t, says("ok"))}, "canonical-host", "gone.example.com", "allow-http", "true")
	if a := s.get("http://blog.example.com/"); a.StatusCode != 200 {
		t.Errorf("a host that is none of the app's is redirected to: %s", a.Status)
	}
}

func TestPolicy_Timeout(t *testing.T) {
	s := startServer(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	s.policed("blog", []string{backend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/stream":
			w.(http.Flusher).Flush()
			<-time.After(400 * time.Millisecond) // longer than the limit, which is for the beginning only
			fmt.Fprint(w, "end")
		case "/upload":
			io.Copy(io.Discard, r.Body)
		}
	})}, "timeout", "200ms")
	for _, method := range []string{"GET", "POST"} {
		begun := time.Now()
		if a := s.do(method, "http://blog.localhost/slow", ""); a.StatusCode != 504 || time.Since(begun) > 5*time.Second {
			t.Errorf("%s: %s after %s", method, a.Status, time.Since(begun))
		}
	}
	if a := s.get("http://blog.localhost/stream"); a.text != "end" {
		t.Errorf("%s %q", a.Status, a.text)
	}
	read, write := io.Pipe()
	go func() {
		for range 6 {
			<-time.After(80 * time.Millisecond) // an upload that takes longer than the limit
			write.Write([]byte("x"))
		}
		write.Close()
	}()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://blog.localhost/upload", read)
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("a slow upload: %s", res.Status)
	}
}

func TestPolicy_Encode(t *testing.T) {
	s := startServer(t)
	text := strings.Repeat("hello ", 1000)
	s.policed("blog", []string{backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", map[string]string{"/a.png": "image/png"}[r.URL.Path])
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("ETag", `"1"`)
		}
		io.WriteString(w, text)
	})}, "encode", "zstd gzip", "headers.X-A", "b")
	for accept, want := range map[string]string{"gzip": "gzip", "zstd, gzip": "zstd", "br": "", "": ""} {
		a := s.get("http://blog.localhost/", "Accept-Encoding", accept)
		if got := a.Header.Get("Content-Encoding"); got != want || a.Header.Get("X-A") != "b" {
			t.Errorf("%q: %q, %v", accept, got, a.Header)
		}
		if want == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(a.text))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(z); string(b) != text || err != nil {
				t.Errorf("%d bytes came, %v", len(b), err)
			}
		}
	}
	if got := s.get("http://blog.localhost/a.png", "Accept-Encoding", "gzip").Header.Get("Content-Encoding"); got != "" {
		t.Errorf("a picture is encoded as %q", got)
	}
}

func TestPolicy_Maintenance(t *testing.T) {
	s := startServer(t)
	route := s.policed("blog", []string{backend(t, says("open"))})
	route.Policy = &hop3.HTTPPolicy{Maintenance: &hop3.Maintenance{Message: "Back at <noon>"}}
	s.set(route)
	a := s.get("http://blog.localhost/", "Accept", "text/html")
	if a.StatusCode != 503 || !strings.Contains(a.text, "Back at &lt;noon&gt;") || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s %q", a.Status, a.text)
	}
	route.Policy = &hop3.HTTPPolicy{Maintenance: &hop3.Maintenance{Allow: []string{"127.0.0.0/8"}}}
	s.set(route)
	if a := s.get("http://blog.localhost/"); a.text != "open" {
		t.Errorf("who is let in gets %s %q", a.Status, a.text)
	}
}

func TestPolicy_ErrorPages(t *testing.T) {
	s := startServer(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"errors/502.html": "<p>our own", "errors/secret": "x"} {
		if err := os.MkdirAll(filepath.Join(dir, "errors"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "errors", "503.html")); err != nil {
		t.Fatal(err)
	}
	route := s.policed("blog", nil, "error-pages.502", "errors/502.html", "error-pages.503", "errors/503.html")
	route.Dir = dir
	s.set(route)
	if a := s.get("http://blog.localhost/"); a.StatusCode != 503 || strings.Contains(a.text, "root:") || !strings.Contains(a.text, "does not answer") {
		t.Errorf("a page that leads out of the release: %s %q", a.Status, a.text)
	}
	route.Upstreams = []string{backend(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })}
	s.set(route)
	if a := s.do("POST", "http://blog.localhost/", ""); a.StatusCode != 502 || a.text != "<p>our own" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%s %q", a.Status, a.text)
	}
}

func TestPolicy_RoutesToOtherApps(t *testing.T) {
	s := startServer(t)
	tell := func(name string) string {
		return backend(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %s %s", name, r.URL.EscapedPath(), r.Host, r.Header.Get("X-Forwarded-Prefix"))
		})
	}
	s.policed("front", []string{tell("front")}, "route./api", "back", "route./api/v2", "other strip", "route./gone", "nosuch", "headers.X-Front", "1")
	s.policed("back", []string{tell("back")}, "route./api", "front", "headers.X-Back", "1", "canonical-host", "back.example.com")
	s.set(upstreams("other", 1, "other.localhost", tell("other")))
	for path, want := range map[string]string{
		"/":               "front / front.localhost ",
		"/apix":           "front /apix front.localhost ",
		"/api":            "back /api front.localhost ",
		"/api/x%2fy":      "back /api/x%2fy front.localhost ",
		"/api/v2":         "other / front.localhost /api/v2",
		"/api/v2/a%2fb?c": "other /a%2fb front.localhost /api/v2",
		"/api/v2//evil":   "other /evil front.localhost /api/v2",
		"/%61pi/v2/a%2fb": "other /a/b front.localhost /api/v2",
		"/api/v22":        "back /api/v22 front.localhost ",
	} {
		if a := s.get("http://front.localhost" + path); a.text != want || a.Header.Get("X-Front") != "1" {
			t.Errorf("%s: %s %q, want %q", path, a.Status, a.text, want)
		}
	}
	if a := s.get("http://front.localhost/api"); a.Header.Get("X-Back") != "1" {
		t.Error("the other app's headers are missing")
	}
	if a := s.get("http://front.localhost/gone"); a.StatusCode != 404 {
		t.Errorf("%s", a.Status)
	}
	// What keeps visitors out of the other app keeps them out this way too.
	s.policed("back", []string{tell("back")}, "basic-auth.ada", hashed(t, "correct horse"))
	if a := s.get("http://front.localhost/api"); a.StatusCode != 401 {
		t.Errorf("%s %q", a.Status, a.text)
	}
}

func TestPolicy_Sticky(t *testing.T) {
	s := startServer(t)
	var dials []string
	for i := range 4 {
		dials = append(dials, backend(t, says(fmt.Sprint(i))))
	}
	route := s.policed("blog", dials, "sticky", "true")
	first := s.get("https://blog.localhost/")
	cookies := first.Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || !cookies[0].Secure || strings.Contains(cookies[0].Value, "127") {
		t.Fatalf("%v", cookies)
	}
	cookie := cookies[0].Name + "=" + cookies[0].Value
	for range 12 {
		if a := s.get("http://blog.localhost/", "Cookie", cookie); a.text != first.text || len(a.Cookies()) != 0 {
			t.Errorf("%q, %v", a.text, a.Cookies())
		}
	}
	for _, bad := range []string{"hop3_instance=127.0.0.1:80", "hop3_instance=", cookie + "0"} {
		if a := s.get("http://blog.localhost/", "Cookie", bad); a.StatusCode != 200 || len(a.Cookies()) != 1 {
			t.Errorf("%s: %s, %v", bad, a.Status, a.Cookies())
		}
	}
	i := strings.Index("0123", first.text)
	route.Upstreams = append(append([]string{}, dials[:i]...), dials[i+1:]...)
	s.set(route)
	if a := s.get("http://blog.localhost/", "Cookie", cookie); a.StatusCode != 200 || a.text == first.text || len(a.Cookies()) != 1 {
		t.Errorf("once its instance is gone: %s %q %v", a.Status, a.text, a.Cookies())
	}
}

func TestPolicy_Retries(t *testing.T) {
	s := startServer(t)
	var asked atomic.Int64
	dies := func(http.ResponseWriter, *http.Request) { asked.Add(1); panic(http.ErrAbortHandler) }
	for _, c := range []struct {
		retries, method string
		want            int64
	}{{"0", "GET", 1}, {"1", "HEAD", 2}, {"3", "GET", 4}, {"3", "POST", 1}, {"3", "PUT", 1}} {
		s.policed("blog", []string{backend(t, dies), backend(t, dies)}, "retries", c.retries)
		asked.Store(0)
		if a := s.do(c.method, "http://blog.localhost/", ""); a.StatusCode != 502 || asked.Load() != c.want {
			t.Errorf("%s with %s retries: %s after %d attempts, want %d", c.method, c.retries, a.Status, asked.Load(), c.want)
		}
	}
}

func TestPolicy_Buffer(t *testing.T) {
	s := startServer(t)
	lengths := make(chan string, 1)
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		lengths <- strings.Join(r.TransferEncoding, "") + fmt.Sprint(r.ContentLength)
	})
	for buffer, want := range map[string]string{"off": "chunked-1", "requests": "3", "both": "3", "responses": "chunked-1"} {
		s.policed("blog", []string{app}, "buffer", buffer)
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://blog.localhost/", io.MultiReader(strings.NewReader("abc")))
		res, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := <-lengths; got != want {
			t.Errorf("buffer %s: the app saw %s, want %s", buffer, got, want)
		}
	}
}

func TestEveryRequestHasAnID(t *testing.T) {
	s := startServer(t)
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, func(w http.ResponseWriter, r *http.Request) {
		dump, _ := httputil.DumpRequest(r, false)
		w.Write(dump)
	})))
	if got := s.get("http://blog.localhost/", "X-Request-Id", "abc-DEF_0123").text; !strings.Contains(got, "X-Request-Id: abc-DEF_0123\r") {
		t.Errorf("%s", got)
	}
	for _, bad := range []string{"", "short", "a<script>alert(1)</script>", strings.Repeat("a", 200)} {
		got := s.get("http://blog.localhost/", "X-Request-Id", bad).text
		if _, id, ok := strings.Cut(got, "X-Request-Id: "); !ok || len(strings.SplitN(id, "\r", 2)[0]) != 32 {
			t.Errorf("%q: %s", bad, got)
		}
	}
}
