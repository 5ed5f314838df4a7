package caddymodules

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// BenchmarkRequest serves one request without the client's connection: through
// hop3_apps, and through a route of Caddy's configuration to the same backend.
func BenchmarkRequest(b *testing.B) {
	s := startServer(b, func(o *BaseOptions) {
		o.ControlHosts = []string{"stock.localhost"}
		o.ControlHandlers = append(o.ControlHandlers, []byte(`{"handler": "reverse_proxy", "upstreams": [{"dial": "`+backend(b, says("hello"))+`"}]}`))
	})
	s.set(upstreams("blog", 1, "blog.localhost", backend(b, says("hello"))))
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		b.Fatal(err)
	}
	srv := app.(*caddyhttp.App).Servers["http"]
	for _, host := range []string{"blog.localhost", "stock.localhost"} {
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "http://"+host+"/", nil)
				w := httptest.NewRecorder()
				srv.ServeHTTP(w, r)
				if n, _ := io.Copy(io.Discard, w.Body); n != 5 {
					b.Fatal(w.Code, n)
				}
			}
		})
	}
}
