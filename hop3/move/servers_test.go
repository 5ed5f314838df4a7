package move

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// other is a server that answers as handler does, by HTTPS, and is trusted.
func other(t *testing.T, handler http.HandlerFunc) *Server {
	t.Helper()
	there := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hop3move_x" || !strings.HasPrefix(r.URL.Path, "/api/moves/blog") {
			t.Errorf("asked is %s with %s", r.URL.Path, r.Header.Get("Authorization"))
		}
		handler(w, r)
	}))
	t.Cleanup(there.Close)
	s, err := (&Servers{Transport: there.Client().Transport}).Server(there.URL, "blog", "hop3move_x")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatAnotherServerRefuses(t *testing.T) {
	s := other(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"error":{"code":409,"message":"There is one.\nDestroy it.","data":{"kind":"conflict","hint":"Destroy it."}}}`)
	})
	_, err := s.Offer(t.Context(), hop3.MoveOffer{})
	var said *hop3.Error
	if !errors.As(err, &said) || said.Code != hop3.CodeConflict || said.Message != "There is one." || said.Hint != "Destroy it." {
		t.Errorf("it says %v", err)
	}
	for name, handler := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<h1>no", http.StatusBadGateway) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example", http.StatusFound)
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"nothing": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		s := other(t, handler)
		_, status := s.Status(t.Context())
		_, finish := s.Finish(t.Context(), "id", hop3.Discard)
		for _, err := range []error{status, finish} {
			if hop3.CodeOf(err) != hop3.CodeUnavailable {
				t.Errorf("%s: it says %v", name, err)
			}
		}
	}
	for _, address := range []string{"http://hop3.example.com", "ssh://hop3.example.com", "https://", "https://a:b@c.example", "https://c.example/path"} {
		if _, err := new(Servers).Server(address, "blog", "s"); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := new(Servers).Server("https://c.example", "blog", ""); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("without a secret: %v", err)
	}
}

func TestAFileIsSentAgain(t *testing.T) {
	var tries atomic.Int32
	s := other(t, func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			_, _ = io.CopyN(io.Discard, r.Body, 3)
			panic(http.ErrAbortHandler)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "content" || r.URL.Path != "/api/moves/blog/copies/id/addons/db.sql" || r.ContentLength != 7 {
			t.Errorf("%s has %q, %v", r.URL.Path, body, err)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("content")), nil }
	if err := s.Send(t.Context(), "id", "addons/db.sql", 7, open); err != nil || tries.Load() != 2 {
		t.Errorf("after %d tries: %v", tries.Load(), err)
	}
}

func TestWhatIsSaidMeanwhile(t *testing.T) {
	end := `{"answer":{"state":"done","hosts":["a.example"]}}`
	s := other(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "{\"log\":{\"msg\":\"one\",\"level\":1}}\n{}\n%s\n", end)
	})
	var lines []string
	out := hop3.OutputFunc(func(l hop3.LogLine) { lines = append(lines, l.Text) })
	answer, err := s.Prepare(t.Context(), "id", out)
	if err != nil || answer.State != hop3.MoveDone || len(answer.Hosts) != 1 || strings.Join(lines, ",") != "       | one" {
		t.Errorf("%+v, %v, %q", answer, err, lines)
	}
	end = `{"error":{"code":-32000,"message":"No.","data":{"kind":"deploy"}}}`
	if _, err := s.Prepare(t.Context(), "id", out); hop3.CodeOf(err) != hop3.CodeDeploy || err.Error() != "No." {
		t.Errorf("it says %v", err)
	}
	end = ""
	if _, err := s.Finish(t.Context(), "id", out); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("cut off: %v", err)
	}
}
