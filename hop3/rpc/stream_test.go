package rpc

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/stream"
)

// A deploy that says nothing for a long time keeps its stream alive with
// comments, and what it says then arrives before it ends.
func TestASilentDeployIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := &stream.Hub{}
		log := hub.New("blog", "alice")
		h := &Handler{Streams: hub}
		req := httptest.NewRequest(http.MethodGet, "/api/stream/"+log.ID, nil)
		req.SetPathValue("id", log.ID)
		recorder := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.followDeploy(recorder, req, identity{user: &hop3.User{Username: "alice"}})
		}()
		time.Sleep(2*keepalive + time.Second) // of a clock that stands still but for this
		log.Log(hop3.LogLine{Text: "at last \u2028\u0085\U0001F680"})
		log.Finish(true, "")
		<-done
		body := recorder.Body.String()
		if n := strings.Count(body, ": keepalive\n\n"); n != 2 {
			t.Errorf("%d keepalives in 61 s", n)
		}
		// Clients split lines at U+0085, U+2028 and U+2029, too: it is all ASCII.
		if want := `"msg":"at last \u2028\u0085\ud83d\ude80"`; !strings.Contains(body, want) {
			t.Errorf("%s is not in\n%s", want, body)
		}
		if !strings.HasSuffix(body, "\n\n") || strings.Count(body, "event: complete\n") != 1 || strings.LastIndex(body, "event: ") != strings.Index(body, "event: complete\n") {
			t.Errorf("it does not end with its end:\n%s", body)
		}
	})
}

// Who leaves ends their stream at once, whatever the deploy does.
func TestAFollowerWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := &stream.Hub{}
		log := hub.New("blog", "alice")
		h := &Handler{Streams: hub}
		ctx, cancel := context.WithCancel(t.Context())
		req := httptest.NewRequest(http.MethodGet, "/api/stream/"+log.ID, nil).WithContext(ctx)
		req.SetPathValue("id", log.ID)
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.followDeploy(httptest.NewRecorder(), req, identity{user: &hop3.User{Username: "alice"}})
		}()
		synctest.Wait()
		if n := log.Readers(); n != 1 {
			t.Errorf("%d follow", n)
		}
		begin := time.Now()
		cancel()
		<-done
		if took := time.Since(begin); took > 0 || log.Readers() != 0 || h.followers.Load() != 0 {
			t.Errorf("it took %v, and %d and %d follow", took, log.Readers(), h.followers.Load())
		}
	})
}

// How far a step is only who asks for it gets to know, and only as long as the
// step lasts.
func TestProgressOfAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := &stream.Hub{}
		log := hub.New("blog", "alice")
		h := &Handler{Streams: hub}
		follow := func(query string) (body func() string) {
			req := httptest.NewRequest(http.MethodGet, "/api/stream/"+log.ID+query, nil)
			req.SetPathValue("id", log.ID)
			recorder, done := httptest.NewRecorder(), make(chan struct{})
			go func() {
				defer close(done)
				h.followDeploy(recorder, req, identity{user: &hop3.User{Username: "alice"}})
			}()
			return func() string { <-done; return recorder.Body.String() }
		}
		asks, older := follow("?progress=1"), follow("")
		log.Log(hop3.LogLine{Text: "begins"})
		synctest.Wait()
		log.Progress(hop3.Progress{What: "Copying", Done: 1, Total: 2})
		synctest.Wait()
		log.Log(hop3.LogLine{Text: "copied"})
		time.Sleep(keepalive + time.Second) // of a clock that stands still but for this
		log.Finish(true, "")
		got := asks()
		if want := "event: progress\ndata: {\"what\":\"Copying\",\"done\":1,\"total\":2}\n\nevent: log\nid: 1\n"; !strings.Contains(got, want) || strings.Count(got, "event: progress") != 1 {
			t.Errorf("%s is not once in\n%s", want, got)
		}
		if got := older(); strings.Contains(got, "progress") || strings.Count(got, "event: log") != 2 {
			t.Errorf("who does not ask hears\n%s", got)
		}
	})
}
