package accesslog

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
)

func entry() *Entry {
	return &Entry{
		Time: time.Date(2026, 11, 25, 22, 1, 2, 345e6, time.UTC), ID: "0123456789abcdef", Remote: "192.0.2.7",
		Method: "GET", Host: "blog.example.com", URI: "/a?b=c", Proto: "HTTP/2.0", Status: 200, Sent: 5, Received: 7,
		Took: 1500 * time.Microsecond, Release: 3, Instance: "web.1", Referer: "https://example.com/", UserAgent: "curl/8",
	}
}

func TestFormats(t *testing.T) {
	for format, want := range map[Format]string{
		JSON: `{"ts":"2026-11-25T22:01:02.345Z","id":"0123456789abcdef","remote":"192.0.2.7","method":"GET","host":"blog.example.com","uri":"/a?b=c",` +
			`"proto":"HTTP/2.0","status":200,"bytes":5,"received":7,"duration":0.001500,"release":3,"instance":"web.1","referer":"https://example.com/","user_agent":"curl/8"}` + "\n",
		Combined: `192.0.2.7 - - [25/Nov/2026:22:01:02 +0000] "GET /a?b=c HTTP/2.0" 200 5 "https://example.com/" "curl/8"` + "\n",
	} {
		if got := string(entry().append(nil, format)); got != want {
			t.Errorf("%s\nnot\n%s", got, want)
		}
	}
}

func TestSecretsAreMasked(t *testing.T) {
	for uri, want := range map[string]string{
		"/":                              "/",
		"/reset?token=abc":               "/reset?token=***",
		"/?a=1&api_key=abc&b=2":          "/?a=1&api_key=***&b=2",
		"/?accessToken=abc":              "/?accessToken=***",
		"/?X-Amz-Signature=abc;x=1":      "/?X-Amz-Signature=***;x=1",
		"/?%74oken=abc":                  "/?%74oken=***",
		"/?user%5Bpassword%5D=abc":       "/?user%5Bpassword%5D=***",
		"/?sig=abc&se=2026":              "/?sig=***&se=2026",
		"/cb?code=abc&state=1":           "/cb?code=***&state=1",
		"/#access_token=abc":             "/#access_token=***",
		"/?a=1?token=abc":                "/?a=1?token=***",
		"/?keyword=hop&design=1&token":   "/?keyword=hop&design=1&token",
		"/?token=":                       "/?token=***",
		"/?token=a=b&c":                  "/?token=***&c",
		"/?&&=&x":                        "/?&&=&x",
		"https://x.test/?client_secret=": "https://x.test/?client_secret=***",
	} {
		e := entry()
		e.URI, e.Referer = uri, uri
		var got struct{ URI, Referer string }
		if err := json.Unmarshal(e.append(nil, JSON), &got); err != nil || got.URI != want || got.Referer != want {
			t.Errorf("%s is written %q, %q, %v", uri, got.URI, got.Referer, err)
		}
	}
}

// What a client sends stays where it belongs: in one field, on one line.
func FuzzEntry(f *testing.F) {
	f.Add("\" \"\\\n\r\x00\x1b[31m\u009b31m\u202e\xff{}token=abc")
	f.Add("/?token=\n{\"status\":500}")
	f.Fuzz(func(t *testing.T, text string) {
		e := entry()
		for i, v := 0, reflect.ValueOf(e).Elem(); i < v.NumField(); i++ {
			if v.Field(i).Kind() == reflect.String {
				v.Field(i).SetString(text)
			}
		}
		for _, format := range []Format{JSON, Combined} {
			line := string(e.append(nil, format))
			if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") || len(line) > 8*maxLine {
				t.Fatalf("%q", line)
			}
			if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), unicode.IsControl) {
				t.Fatalf("%q", line)
			}
			if format == Combined {
				continue
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(line), &got); err != nil || len(got) != 15 || got["status"] != 200.0 {
				t.Fatalf("%q: %v", line, err)
			}
		}
	})
}

func TestLongValuesAreCut(t *testing.T) {
	e := entry()
	e.URI, e.UserAgent = "/"+strings.Repeat("é", 40_000), strings.Repeat("\x00", 60_000)
	line := e.append(nil, JSON)
	if !json.Valid(line) || len(line) > maxLine {
		t.Errorf("%d bytes: %.200q", len(line), line)
	}
}

func BenchmarkEntry(b *testing.B) {
	e, buf := entry(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = e.append(buf[:0], JSON)
	}
}
