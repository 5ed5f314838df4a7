package caddymodules

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestCanary(t *testing.T) {
	s := startServer(t)
	live := s.policed("blog", []string{backend(t, says("live"))}, "headers.X-Live", "1")
	try := hop3.CanaryRoute{Release: 2, Percent: 25, Policy: &hop3.HTTPPolicy{Sticky: true, Headers: map[string]string{"X-Canary": "1"}}, Upstreams: []string{backend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bad":
			w.WriteHeader(500)
		case "/dead":
			panic(http.ErrAbortHandler)
		case "/slow":
			<-time.After(300 * time.Millisecond)
		}
		fmt.Fprint(w, "canary")
	})}}
	live.Canary = &try
	s.set(live)
	id := hop3.ReleaseID{App: "blog", Number: 2}

	met, cookie, other := 0, "", ""
	for range 400 {
		a := s.get("http://blog.localhost/")
		if len(a.Cookies()) != 1 || (a.text == "canary") != (a.Header.Get("X-Canary") == "1") || (a.text == "live") != (a.Header.Get("X-Live") == "1") {
			t.Fatalf("%q %v", a.text, a.Header)
		}
		c := a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
		if a.text == "canary" {
			met, cookie = met+1, c
		} else {
			other = c
		}
	}
	if met < 60 || met > 140 {
		t.Errorf("%d of 400 requests met the canary, want about 100", met)
	}
	for range 20 {
		if a, b := s.get("http://blog.localhost/", "Cookie", cookie), s.get("http://blog.localhost/", "Cookie", other); a.text != "canary" || b.text != "live" {
			t.Fatalf("a visitor changes sides: %q, %q", a.text, b.text)
		}
	}
	v := s.table.Verdict(id)
	if v.Requests != met+20 || v.Errors != 0 || v.P99 <= 0 || v.P99 > time.Second {
		t.Errorf("%+v, want %d requests", v, met+20)
	}
	s.get("http://blog.localhost/bad", "Cookie", cookie)
	s.get("http://blog.localhost/dead", "Cookie", cookie)
	for range 8 {
		s.get("http://blog.localhost/slow", "Cookie", cookie)
	}
	if v := s.table.Verdict(id); v.Errors != 2 || v.P99 < 300*time.Millisecond {
		t.Errorf("%+v", v)
	}

	// A change of the live route does not begin the figures anew.
	live.Upstreams = []string{backend(t, says("live"))}
	s.set(live)
	if again := s.table.Verdict(id); again.Requests < v.Requests {
		t.Errorf("%+v, before %+v", again, v)
	}

	// Taken back: nobody meets it any more, whatever the cookie says, and it
	// drains.
	live.Canary = nil
	s.set(live)
	if a := s.get("http://blog.localhost/", "Cookie", cookie); a.text != "live" {
		t.Errorf("%q", a.text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.table.Drain(ctx, id); err != nil {
		t.Error(err)
	}
	if v := s.table.Verdict(id); v != (hop3.Verdict{}) {
		t.Errorf("%+v", v)
	}
}
