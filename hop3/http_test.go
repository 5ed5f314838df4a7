package hop3

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const someHash = "$2a$04$ABCDEFGHIJKLMNOPQRSTUuZ1vXn9S0lZC0lY9P7e1rAqvJ8yq2a8e"

func TestHTTPSettings(t *testing.T) {
	settings := HTTPSettings{
		"allow": "10.0.0.0/8, 192.0.2.7 2001:db8::/32", "deny": "10.1.0.0/16", "access-log": "combined", "allow-http": "true", "basic-auth.ada": someHash,
		"buffer": "both", "cache-control./assets": "public, max-age=60", "canary": "10% for 5m errors 1.5% p99 500ms",
		"canonical-host": "WWW.Example.com.", "encode": "gzip", "error-pages.404": "errors/404.html", "headers.x-frame-options": "DENY",
		"headers.Server": "", "hsts": "1y includeSubDomains preload", "max-body": "50M", "protect": "/admin /metrics", "rate-limit": "10/s burst 20",
		"retries": "0", "route./api": "backend strip", "route./api/v2": "other", "sticky": "on", "timeout": "90s", "upstream": "h2c",
	}
	p, err := settings.Policy()
	if err != nil {
		t.Fatal(err)
	}
	if p.HSTS.String() != "max-age=31536000; includeSubDomains; preload" || p.MaxBody != 50<<20 || *p.Retries != 0 || p.CanonicalHost != "www.example.com" ||
		len(p.Allow) != 3 || p.Allow[1] != "192.0.2.7/32" || !reflect.DeepEqual(p.Headers, map[string]string{"X-Frame-Options": "DENY", "Server": ""}) ||
		*p.RateLimit != (RateLimit{10, time.Second, 20}) || *p.Canary != (Canary{10, 5 * time.Minute, 1.5, 500 * time.Millisecond}) ||
		p.Routes[0] != (HTTPRoute{Prefix: "/api/v2", App: "other"}) || p.Routes[1] != (HTTPRoute{Prefix: "/api", App: "backend", Strip: true}) {
		t.Errorf("%+v", p)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back HTTPPolicy
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(&back, p) {
		t.Errorf("%v: %s came back as %+v", err, text, back)
	}
	var keys []string
	for key := range settings {
		s, _, _ := FindHTTPSetting(key)
		keys = append(keys, s.Key)
	}
	for _, s := range HTTPSettingKeys {
		if !slices.Contains(keys, s.Key) {
			t.Errorf("%s is not tried", s.Key)
		}
	}
}

func TestHTTPSettings_ThatChangeNothing(t *testing.T) {
	for _, s := range []HTTPSettings{nil, {"hsts": "off", "encode": "off", "buffer": "off", "sticky": "false", "upstream": "http", "canary": "off", "rate-limit": "off"}} {
		if p, err := s.Policy(); p != nil || err != nil {
			t.Errorf("%v: %+v, %v", s, p, err)
		}
	}
}

func TestHTTPSettings_Mistakes(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"max-bdy", "1", "there is no such setting"},
		{"headers.", "x", "there is no such setting"},
		{"headers", "x", "there is no such setting"},
		{"max-body", "lots", "is not a size"},
		{"max-body", "0", "is not a possible size"},
		{"max-body", "999999999999T", "is not a possible size"},
		{"timeout", "0s", "is not a time"},
		{"timeout", "999999999y", "is not a time"},
		{"hsts", "forever", "is not off, on, or a time"},
		{"hsts", "1y 2y", "is not off, on, or a time"},
		{"rate-limit", "0/s", "is not a rate"},
		{"rate-limit", "10/s burst 5; drop", "is not a rate"},
		{"canonical-host", "a b", "is not a valid host name"},
		{"canonical-host", "*.example.com", "wildcard"},
		{"headers.X-A", "a\r\nSet-Cookie: b", "characters in it"},
		{"headers.X-A", "a\x00b", "characters in it"},
		{"headers.X A", "a", "is not the name of a header"},
		{"headers.X-A:", "a", "is not the name of a header"},
		{"headers.Transfer-Encoding", "chunked", "is the server's"},
		{"allow", "10.0.0.1/8", "the network is 10.0.0.0/8"},
		{"allow", "everyone", "is no address"},
		{"deny", "fe80::1%eth0", "is no address"},
		{"basic-auth.ada", "secret", "is not the hash of a password"},
		{"basic-auth.ada", "$2a$31$" + strings.Repeat("a", 53), "is not the hash of a password"},
		{"basic-auth.ada", "$argon2id$v=19$m=4000000,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "is not the hash of a password"},
		{"basic-auth.a:b", someHash, "cannot be a user's name"},
		{"protect", "admin", "begins with '/'"},
		{"protect", "/a/../b", "in different ways"},
		{"protect", "/%61dmin", "in different ways"},
		{"encode", "br", "is not one of on, off, zstd, gzip"},
		{"error-pages.200", "x.html", "is not a status"},
		{"error-pages.404", "../../etc/passwd", "is not a file inside"},
		{"error-pages.404", "/etc/passwd", "is not a file inside"},
		{"retries", "9", "0 to 3"},
		{"route./", "blog", "give the other app the host"},
		{"route./api", "x;rm", "cannot be an app's name"},
		{"route./api", "blog strip it", "is not an app's name"},
		{"buffer", "all", "is not one of"},
		{"upstream", "grpc", "is neither http nor h2c"},
		{"sticky", "maybe", "is neither true nor false"},
		{"cache-control./a b", "x", "in different ways"},
		{"canary", "100% for 5m", "is not a canary"},
		{"canary", "0% for 5m", "1 to 99"},
		{"canary", "5% for 0s", "is not a time"},
	} {
		p, err := HTTPSettings{c.key: c.value}.Policy()
		if p != nil || CodeOf(err) != CodeInvalid || !strings.Contains(MessageOf(err), c.want) {
			t.Errorf("%s = %q: %+v, %v, want %q", c.key, c.value, p, err, c.want)
		}
	}
	_, err := HTTPSettings{"max-body": "x", "retries": "x"}.Policy()
	if got := MessageOf(err); !strings.Contains(got, "max-body:") || !strings.Contains(got, "retries:") {
		t.Errorf("not all mistakes are told: %s", got)
	}
}

func TestHTTPVariables(t *testing.T) {
	settings, notes := HTTPVariables(Env{
		"NGINX_HTTPS_ONLY": "false", "CADDY_HTTPS_ONLY": "true", "NGINX_CACHE_PREFIXES": "/static,/img", "NGINX_CACHE_CONTROL": "600",
		"TRAEFIK_CACHE_CONTROL": "lots", "NGINX_INCLUDE_FILE": "x.conf", "CADDY_DISABLE_COMPRESSION": "true", "NGINX_CACHE_SIZE": "1",
		"NGINX_CLOUDFLARE_ACL": "1", "CADDY_NONSENSE": "1", "DISABLE_IPV6": "1", "NGINX_STATIC_PATHS": "/a:b,/c:../d", "PATH": "/bin", "NGINX": "1",
	})
	want := HTTPSettings{"allow-http": "true", "cache-control./static": "public, max-age=600", "cache-control./img": "public, max-age=600", "encode": "off"}
	if !maps.Equal(settings, want) {
		t.Errorf("%v, want %v", settings, want)
	}
	if err := settings.Validate(); err != nil {
		t.Error(err)
	}
	all := strings.Join(notes, "\n")
	for _, name := range []string{"TRAEFIK_CACHE_CONTROL is not used", "NGINX_INCLUDE_FILE has no effect", "DISABLE_IPV6 has no effect", "NGINX_CACHE_SIZE has no effect", "NGINX_CLOUDFLARE_ACL has no effect", "CADDY_NONSENSE has no effect", `NGINX_STATIC_PATHS is not used where it says "/c:../d"`} {
		if strings.Count(all, name) != 1 {
			t.Errorf("%q is not told once in:\n%s", name, all)
		}
	}
	if len(notes) != 7 {
		t.Errorf("%q", notes)
	}
	if settings, notes := HTTPVariables(Env{"NGINX_HTTPS_ONLY": "perhaps", "CADDY_CACHE_PREFIXES": "/a;b\r\nX: y"}); len(settings) != 0 || len(notes) < 2 {
		t.Errorf("%v %q", settings, notes)
	}
}

func TestProtectedPath(t *testing.T) {
	protect := []string{"/admin", "/a/b/"}
	for _, path := range []string{
		"/admin", "/admin/", "/admin/x", "//admin", "/./admin", "/x/../admin", "/%61dmin", "/%2561dmin", "/%252561dmin", "/ADMIN", "/Admin/x",
		"/admin/..;/", "/x/..;/admin", "/admin;a=b/x", "/;/admin", `\admin`, `/x\..\admin`, "/%2fadmin", "/x%2f..%2fadmin", "/x/%2e%2e/admin",
		"/%5cadmin", "/admin%00.html", "/admin%20", "/admin.", "/admin%3fa", "/admin#x", "/%c0%ae/admin/../admin", "/admin%2f", "/../../admin",
		"/x/../admin/z//../..", "/.../admin", "/a/b", "/a//b/c", "/a/./b", "/a/x/../b", "/%25252561dmin", "/admin?x",
	} {
		if !ProtectedPath(path, protect) {
			t.Errorf("%q gets by", path)
		}
	}
	for _, path := range []string{"/", "/administrator", "/blog/admin", "/a", "/a/c/b", "/adm/in", "/100%", "/a%20b", "/x/y.css"} {
		if ProtectedPath(path, protect) {
			t.Errorf("%q is kept out", path)
		}
	}
	if !ProtectedPath("/anything", []string{"/"}) {
		t.Error("/ does not protect everything")
	}
}

func FuzzProtectedPath(f *testing.F) {
	f.Add("/x/..;/%61dmin")
	f.Fuzz(func(t *testing.T, path string) {
		// Whatever stands before it, what ends in the path itself is found.
		if ProtectedPath(path, []string{"/"}) != true && strings.HasPrefix(path, "/") {
			t.Errorf("%q", path)
		}
		ProtectedPath(path, []string{"/admin"})
	})
}
