package manifest_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestHTTP(t *testing.T) {
	m := mustLoad(t, map[string]string{"hop3.toml": `
[deploy]
allow-http = true
[http]
allow-http = false
hsts = true
canonical-host = "www.example.com"
allow = ["10.0.0.0/8", "192.0.2.7"]
deny = ["10.1.0.0/16"]
protect = ["/admin"]
rate-limit = "10/s burst 20"
max-body = "50M"
timeout = "30s"
encode = ["gzip", "zstd"]
sticky = true
retries = 0
buffer = "requests"
upstream = "h2c"
access-log = "off"
[http.headers]
X-Frame-Options = "DENY"
Server = ""
[http.cache-control]
"/assets" = "public, max-age=60"
[http.error-pages]
404 = "errors/404.html"
[http.basic-auth]
ada = "$2a$04$ABCDEFGHIJKLMNOPQRSTUuZ1vXn9S0lZC0lY9P7e1rAqvJ8yq2a8e"
[[http.route]]
path = "/api"
app = "backend"
strip = true
[http.canary]
percent = 10
for = "5m"
max-errors = 1.5
max-p99 = "500ms"
`})
	want := hop3.HTTPSettings{
		"allow-http": "false", "hsts": "true", "canonical-host": "www.example.com", "allow": "10.0.0.0/8 192.0.2.7", "deny": "10.1.0.0/16",
		"protect": "/admin", "rate-limit": "10/s burst 20", "max-body": "50M", "timeout": "30s", "encode": "gzip zstd", "sticky": "true", "retries": "0",
		"buffer": "requests", "upstream": "h2c", "access-log": "off", "headers.X-Frame-Options": "DENY", "headers.Server": "", "cache-control./assets": "public, max-age=60",
		"error-pages.404": "errors/404.html", "basic-auth.ada": "$2a$04$ABCDEFGHIJKLMNOPQRSTUuZ1vXn9S0lZC0lY9P7e1rAqvJ8yq2a8e",
		"route./api": "backend strip", "canary": "10% for 5m errors 1.5% p99 500ms",
	}
	if !maps.Equal(m.HTTP, want) {
		t.Errorf("%v, want %v", m.HTTP, want)
	}
	if err := m.HTTP.Validate(); err != nil {
		t.Error(err)
	}
	if len(m.Unsupported) > 0 {
		t.Errorf("told of %v", m.Unsupported)
	}
}

func TestHTTP_MistakesHaveTheirLines(t *testing.T) {
	for text, want := range map[string]string{
		"[http]\nmax-bdy = \"1M\"":                    "http -> max-bdy (line 2): Unknown field 'max-bdy'; did you mean 'max-body'?",
		"[http]\nmax-body = \"lots\"":                 "http -> max-body (line 2): \"lots\" is not a size",
		"[http]\nmax-body = 5":                        "http -> max-body (line 2): expected a string",
		"[http]\nhsts = \"always\"":                   "http -> hsts (line 2): \"always\" is not off, on",
		"[http]\nencode = [\"br\"]":                   "http -> encode (line 2): \"br\" is not one of",
		"[http]\nretries = 9":                         "http -> retries (line 2): 9 is not between 0 and 3",
		"[http]\nallow = []":                          "http -> allow (line 2): a list of at least one string",
		"[http.headers]\nX-A = \"a\\r\\nb\"":          "http -> headers -> X-A (line 2): \"a\\r\\nb\" has characters in it",
		"[http.basic-auth]\nada = \"secret\"":         "http -> basic-auth -> ada (line 2): this is not the hash of a password",
		"[[http.route]]\npath = \"/api\"":             "http -> route -> 0 (line 1): 'app' is missing",
		"[[http.route]]\npath = \"/\"\napp = \"abc\"": "http -> route -> 0 -> path (line 2): / is all there is",
		"[http.canary]\npercent = 5":                  "http -> canary (line 1): 'for' is missing",
		"[http.canary]\npercent = 5\nfor = \"soon\"":  "http -> canary (line 1): \"soon\" is not a time",
		"http = true":                                 "http (line 1): expected a table",
	} {
		_, err := load(t, map[string]string{"hop3.toml": text})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v\nwant %s", text, err, want)
		}
	}
}
