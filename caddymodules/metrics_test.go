package caddymodules

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/abilian/hop3/hop3"
)

const scrapeToken = "a-token-to-scrape-with"

// observed is a server whose metrics can be read.
func observed(t testing.TB, change ...func(*BaseOptions)) *server {
	return startServer(t, append(change, func(o *BaseOptions) {
		o.App = []byte(strings.Replace(string(o.App), `"settings": {`, `"settings": {"metrics-token": "`+scrapeToken+`", `, 1))
		o.ControlHosts = []string{"hop3.localhost"}
		o.ControlHandlers = append(o.ControlHandlers, []byte(`{"handler": "hop3_rpc"}`))
	})...)
}

// scrape reads the metrics as Prometheus does.
func (s *server) scrape() map[string]*dto.MetricFamily {
	s.t.Helper()
	a := s.get("http://hop3.localhost/metrics", "Authorization", "Bearer "+scrapeToken)
	if a.StatusCode != http.StatusOK {
		s.t.Fatalf("%d: %s", a.StatusCode, a.text)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.text))
	if err != nil {
		s.t.Fatal(err)
	}
	return families
}

// sum adds up the values of a metric whose labels are as given: names and
// values in turn.
func sum(families map[string]*dto.MetricFamily, name string, labels ...string) (total float64) {
	for _, m := range families[name].GetMetric() {
		has := map[string]string{}
		for _, l := range m.GetLabel() {
			has[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && has[labels[i]] == labels[i+1]
		}
		if fits {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return total
}

// settled returns the metrics once no request to an app is under way.
func (s *server) settled() map[string]*dto.MetricFamily {
	s.t.Helper()
	var families map[string]*dto.MetricFamily
	s.eventually("no request is under way", func() bool {
		families = s.scrape()
		return sum(families, "hop3_http_requests_in_flight") == 0
	})
	return families
}

func (s *server) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("waited in vain until " + what)
		}
	}
}

func TestMetrics_CountEveryRequest(t *testing.T) {
	s := observed(t)
	var live []*release
	for n := range 4 {
		live = append(live, startRelease(n+1))
		defer live[n].kill()
	}
	s.set(live[0].route())
	var all sync.WaitGroup
	const workers, each = 8, 60
	next := make(chan struct{}, workers*each)
	for w := range workers {
		all.Go(func() {
			for i := range each {
				req, _ := http.NewRequest(http.MethodPost, "http://blog.localhost/", strings.NewReader("12345"))
				if (w+i)%2 == 0 {
					req.URL.Scheme, req.URL.Host = "https", "blog.localhost:443" // HTTP/2
				}
				res, err := s.client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				next <- struct{}{}
			}
		})
	}
	// Releases change meanwhile, one of them back.
	for _, r := range []*release{live[1], live[2], live[1], live[3]} {
		for range workers * each / 5 {
			<-next
		}
		s.set(r.route())
	}
	all.Wait()
	s.settled()
	s.load()                        // another configuration of Caddy's
	s.client.CloseIdleConnections() // they are closed, and a POST is not repeated
	s.do(http.MethodPost, "http://blog.localhost/", "12345")
	m := s.settled()
	const want = workers*each + 1
	if got := sum(m, "hop3_http_requests_total", "app", "blog", "code", "2xx"); got != want {
		t.Errorf("%v requests, not %d", got, want)
	}
	if got := sum(m, "hop3_http_requests_total"); got != want {
		t.Errorf("%v requests in all, not %d", got, want)
	}
	if got := sum(m, "hop3_http_request_duration_seconds", "app", "blog"); got != want {
		t.Errorf("%v times, not %d", got, want)
	}
	if got := sum(m, "hop3_http_request_bytes_total"); got != 5*want {
		t.Errorf("%v bytes came, not %d", got, 5*want)
	}
	if got := sum(m, "hop3_http_response_bytes_total"); got != 4*want { // "v1 5"
		t.Errorf("%v bytes went, not %d", got, 4*want)
	}
	for _, n := range []string{"1", "2", "3", "4"} {
		if sum(m, "hop3_http_requests_total", "release", n) == 0 {
			t.Errorf("v%s has no request", n)
		}
	}
	if len(m["go_goroutines"].GetMetric()) != 1 || len(m["process_resident_memory_bytes"].GetMetric()) != 1 {
		t.Error("the process itself has no metrics")
	}
}

func TestMetrics_Classes(t *testing.T) {
	s := observed(t)
	s.set(upstreams("blog", 3, "blog.localhost", backend(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err != nil {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
	})))
	for _, path := range []string{"200", "204", "301", "404", "429", "500", "503", "503", "broken"} {
		s.get("http://blog.localhost/" + path)
	}
	s.set(hop3.Route{App: "shut", Hosts: []string{"shut.localhost"}, Status: hop3.RouteStopped})
	s.get("http://shut.localhost/")
	s.get("http://nobody.localhost/")
	m := s.settled()
	for code, want := range map[string]float64{"2xx": 2, "3xx": 1, "4xx": 2, "5xx": 4} {
		if got := sum(m, "hop3_http_requests_total", "app", "blog", "release", "3", "code", code); got != want {
			t.Errorf("%v requests have %s, not %v", got, code, want)
		}
	}
	if got := sum(m, "hop3_http_requests_total", "app", "shut", "release", "none", "code", "5xx"); got != 1 {
		t.Errorf("the page of a stopped app counts %v", got)
	}
	if got := sum(m, "hop3_http_requests_total"); got != 10 {
		t.Errorf("%v requests in all: what is no app's counts", got)
	}
}

// A client that leaves before the answer is no answer.
func TestMetrics_ClientsThatLeave(t *testing.T) {
	s := observed(t)
	here := make(chan struct{})
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, func(_ http.ResponseWriter, r *http.Request) {
		close(here)
		<-r.Context().Done()
	})))
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://blog.localhost/", nil)
	go func() {
		<-here
		cancel()
	}()
	if _, err := s.client.Do(req); err == nil {
		t.Fatal("answered")
	}
	s.eventually("it is counted", func() bool { return sum(s.settled(), "hop3_http_requests_total") == 1 })
	if got := sum(s.scrape(), "hop3_http_requests_total", "code", "none"); got != 1 {
		t.Errorf("%v requests without an answer: %v", got, s.scrape()["hop3_http_requests_total"])
	}
}

func TestMetrics_Streams(t *testing.T) {
	s := observed(t)
	r := startRelease(1)
	defer r.kill()
	s.set(r.route())
	ws := dialWebSocket(t, s)
	echo(t, ws, "v1")
	events := openEvents(t, s)
	m := s.scrape()
	if got := sum(m, "hop3_http_requests_in_flight", "app", "blog", "release", "1"); got != 2 {
		t.Errorf("%v are in flight", got)
	}
	if got := sum(m, "hop3_http_requests_total"); got != 0 {
		t.Errorf("%v are counted before their end", got)
	}
	close(r.ticks)
	events.end(t)
	ws.Close(websocket.StatusNormalClosure, "")
	m = s.settled()
	for code, want := range map[string]float64{"1xx": 1, "2xx": 1} {
		if got := sum(m, "hop3_http_requests_total", "app", "blog", "release", "1", "code", code); got != want {
			t.Errorf("%v have %s, not %v", got, code, want)
		}
	}
	if got := sum(m, "hop3_http_request_duration_seconds"); got != 2 {
		t.Errorf("%v times", got)
	}
}

// A request counts where it is answered: by the release that is tried out, by
// the app that a path belongs to.
func TestMetrics_CountWhereAnswered(t *testing.T) {
	s := observed(t)
	s.policed("api", []string{backend(t, says("api"))}, "allow-http", "true", "max-body", "1M")
	try := s.policed("blog", []string{backend(t, says("old"))}, "allow-http", "true", "route./api", "api")
	try.Canary = &hop3.CanaryRoute{Release: 2, Percent: 99, Upstreams: []string{backend(t, says("new"))}, Policy: try.Policy}
	s.set(try)
	met := map[string]float64{}
	for range 40 {
		met[s.get("http://blog.localhost/").text]++
		met[s.get("http://blog.localhost/api/").text]++
	}
	m := s.settled()
	for _, c := range []struct{ app, release, text string }{{"blog", "1", "old"}, {"blog", "2", "new"}, {"api", "1", "api"}} {
		if got := sum(m, "hop3_http_requests_total", "app", c.app, "release", c.release); got != met[c.text] {
			t.Errorf("%s v%s: %v, not %v", c.app, c.release, got, met[c.text])
		}
	}
	if met["api"] != 40 {
		t.Errorf("%v", met)
	}
}

// The labels are bounded, whatever apps and visitors do.
func TestMetrics_FewSeries(t *testing.T) {
	s := observed(t)
	app := backend(t, says("hello"))
	series := func() (n int) {
		for name, family := range s.settled() {
			if strings.HasPrefix(name, "hop3_") {
				n += len(family.GetMetric())
			}
		}
		return n
	}
	after20 := 0
	for n := 1; n <= 200; n++ {
		s.set(hop3.Route{App: "blog", Release: n, Hosts: []string{"blog.localhost", fmt.Sprintf("h%d.localhost", n)}, Upstreams: []string{app}})
		s.get(fmt.Sprintf("http://h%d.localhost/%d", n, n))
		if n == 20 {
			after20 = series()
		}
	}
	if got := series(); got != after20 {
		t.Errorf("%d series after 20 releases, %d after 200", after20, got)
	}
	if got := sum(s.scrape(), "hop3_http_requests_total", "app", "blog"); got != 200 {
		t.Errorf("%v requests", got)
	}
	if err := s.table.Remove(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	if got := sum(s.scrape(), "hop3_http_requests_total"); got != 0 {
		t.Errorf("an app that is gone has %v requests", got)
	}
}

func TestMetrics_HeldRequestsAndWakes(t *testing.T) {
	s := observed(t)
	up := make(chan error)
	route := upstreams("blog", 1, "blog.localhost", backend(t, says("hello")))
	s.table.SetWaker(func(context.Context, string) error {
		err := <-up
		if err == nil {
			s.set(route)
		}
		return err
	})
	s.set(hop3.Route{App: "blog", Hosts: []string{"blog.localhost"}, Status: hop3.RouteAsleep})
	var visits sync.WaitGroup
	for range 3 {
		visits.Go(func() { s.get("http://blog.localhost/") })
	}
	s.eventually("three are held", func() bool { return sum(s.scrape(), "hop3_http_requests_held", "app", "blog") == 3 })
	up <- nil
	visits.Wait()
	m := s.settled()
	if held, woken := sum(m, "hop3_http_requests_held"), sum(m, "hop3_app_wakes_total", "app", "blog", "result", "awake"); held != 0 || woken != 1 {
		t.Errorf("%v held, %v wakes", held, woken)
	}
	if got := sum(m, "hop3_http_requests_total", "release", "1", "code", "2xx"); got != 3 {
		t.Errorf("%v requests were answered by the app", got)
	}
}

func TestMetrics_WhoMayRead(t *testing.T) {
	s := observed(t, func(o *BaseOptions) {
		o.App = []byte(strings.Replace(string(o.App), `"settings": {`, `"settings": {"metrics-allow": "127.0.0.0/8", `, 1))
	})
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, says("the app's own"))))
	for _, c := range []struct {
		name, url string
		header    []string
		status    int
	}{
		{"from an allowed network", "http://hop3.localhost/metrics", nil, 200},
		{"over HTTPS", "https://hop3.localhost/metrics", nil, 200},
		{"with the token", "http://hop3.localhost/metrics", []string{"Authorization", "Bearer " + scrapeToken}, 200},
		{"with a wrong token", "http://hop3.localhost/metrics", []string{"Authorization", "Bearer " + scrapeToken + "x"}, 401},
		{"passed on by a proxy", "http://hop3.localhost/metrics", []string{"X-Forwarded-For", "192.0.2.1"}, 401},
		{"passed on by another", "http://hop3.localhost/metrics", []string{"Forwarded", "for=192.0.2.1"}, 401},
		{"passed on, with the token", "http://hop3.localhost/metrics", []string{"X-Forwarded-For", "192.0.2.1", "Authorization", "Bearer " + scrapeToken}, 200},
	} {
		a := s.get(c.url, c.header...)
		if a.StatusCode != c.status || (c.status == 200) != strings.Contains(a.text, "hop3_build_info") {
			t.Errorf("%s: %d %.80q", c.name, a.StatusCode, a.text)
		}
	}
	if a := s.get("http://blog.localhost/metrics"); a.text != "the app's own" {
		t.Errorf("%.80q", a.text)
	}
	if a := s.do(http.MethodPost, "http://hop3.localhost/metrics", ""); a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST gets %d", a.StatusCode)
	}
}

func TestMetrics_AreClosedByDefault(t *testing.T) {
	s := observed(t)
	if a := s.get("http://hop3.localhost/metrics"); a.StatusCode != http.StatusUnauthorized || strings.Contains(a.text, "hop3_") {
		t.Errorf("%d %.80q", a.StatusCode, a.text)
	}
}
