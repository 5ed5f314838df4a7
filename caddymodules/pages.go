package caddymodules

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	sitepages "github.com/abilian/hop3/hop3/pages"
)

// page is what a visitor is told when no app answers.
type page struct {
	Status     int
	Title      string
	Text       string
	RetryAfter int    // seconds; 0 for none
	Request    string // the request's id, of a failure that is remembered; else ""
	Why        string // where its app's people see what happened; "" for nowhere
}

var (
	pageUnknown     = page{Status: http.StatusNotFound, Title: "No app lives here", Text: "No application on this server has this name."}
	pageStarting    = page{Status: http.StatusServiceUnavailable, Title: "Starting", Text: "This server is just starting. The page will be here in a moment.", RetryAfter: 2}
	pageMisdirected = page{Status: http.StatusMisdirectedRequest, Title: "Wrong connection", Text: "This connection was opened for another name. Please try again."}
	pageSlowWake    = page{Status: http.StatusServiceUnavailable, Title: "Still starting", Text: "This app was asleep and takes long to start. Please try again in a moment.", RetryAfter: 10}
	pageWakeQueue   = page{Status: http.StatusServiceUnavailable, Title: "Still starting", Text: "This app was asleep, and many requests wait for it already. Please try again in a moment.", RetryAfter: 5}
	pageForbidden   = page{Status: http.StatusForbidden, Title: "Not from here", Text: "This address is closed to your network."}
	// The words are those of a browser's own dialogue.
	pageUnauthorized = page{Status: http.StatusUnauthorized, Title: "Sign in", Text: "This address asks for a name and a password."}
	pageTooLarge     = page{Status: http.StatusRequestEntityTooLarge, Title: "Too large", Text: "What was sent is larger than this app takes."}
	pageBusy         = page{Status: http.StatusServiceUnavailable, Title: "Too many sign in", Text: "Please try again in a moment.", RetryAfter: 5}
	pageNoFile       = page{Status: http.StatusNotFound, Title: "Page not found", Text: "This site has no page at this address."}
)

// tooManyPage is the page of a client that asks too often.
func tooManyPage(wait time.Duration) page {
	return page{Status: http.StatusTooManyRequests, Title: "Too many requests", Text: "You asked more often than this app lets you. Please wait a moment.",
		RetryAfter: max(int(math.Ceil(wait.Seconds())), 1)}
}

// maintenancePage is the page of an app that is closed to visitors.
func maintenancePage(m *hop3.Maintenance) page {
	text := "It is being worked on, and will be back soon."
	if m.Message != "" {
		text = m.Message
	}
	return page{Status: http.StatusServiceUnavailable, Title: "Closed for maintenance", Text: text, RetryAfter: 60}
}

// stoppedPage is the page of an app that is not running, by its route's
// status.
func stoppedPage(status string) page {
	p := page{Status: http.StatusServiceUnavailable, RetryAfter: 30}
	switch status {
	case hop3.RouteStopped:
		p.Title, p.Text = "This app is stopped", "Its owner has stopped it. It will be back here once it is started again."
	case hop3.RouteFailed:
		p.Title, p.Text = "This app is not running", "It could not be started. Its owner can find the reason in its log."
	case hop3.RouteAsleep:
		p.Title, p.Text, p.RetryAfter = "This app is asleep", "The next visit wakes it up.", 5
	default:
		p.Title, p.Text = "Nothing to see", "This app does not answer web requests at the moment."
	}
	return p
}

// failedPage is the page of a request that the app should have answered.
func failedPage(status int) page {
	switch status {
	case http.StatusServiceUnavailable:
		return page{Status: status, Title: "This app is not ready", Text: "None of its instances takes requests at the moment. Please try again.", RetryAfter: 5}
	case http.StatusGatewayTimeout:
		return page{Status: status, Title: "This app is too slow", Text: "It did not answer in time. Please try again."}
	case http.StatusBadGateway:
		return page{Status: status, Title: "This app did not answer", Text: "It ended the connection, or cannot be reached. Please try again."}
	default:
		return page{Status: status, Title: http.StatusText(status), Text: "The request could not be served."}
	}
}

//go:embed page.html
var pageHTML string

// pages writes pages: HTML for browsers, JSON for who prefers it, a line of
// text for everything else.
type pages struct {
	html *template.Template
	core *core // nil where only the routing is Hop3's
}

func newPages(c *core) (*pages, error) {
	t, err := sitepages.Parse("page", pageHTML)
	if err != nil {
		return nil, fmt.Errorf("parsing the error page: %w", err)
	}
	return &pages{html: t, core: c}, nil
}

func (ps *pages) write(w http.ResponseWriter, r *http.Request, p page) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	ps.name(h, r, &p)
	if policy := requestPolicy(r); policy != nil && policy.writePage(w, r, p) {
		return nil
	}
	kind, body, err := ps.render(r, p)
	if err != nil {
		return err
	}
	h.Set("Content-Type", kind)
	if strings.HasPrefix(kind, "text/html") {
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a visitor who left is no error
	}
	return nil
}

// name tells, of a failure, the id by which it is found again.
func (ps *pages) name(h http.Header, r *http.Request, p *page) {
	if p.Status != http.StatusBadGateway && p.Status != http.StatusServiceUnavailable && p.Status != http.StatusGatewayTimeout {
		return
	}
	if p.Request = requestID(r); p.Request == "" {
		return
	}
	h["X-Request-Id"] = []string{p.Request}
	if ps.core != nil {
		p.Why = ps.core.whyURL(p.Request)
	}
}

func (ps *pages) render(r *http.Request, p page) (kind string, body []byte, err error) {
	accept := r.Header.Get("Accept")
	switch {
	case strings.Contains(accept, "text/html"):
		var text bytes.Buffer
		if err := ps.html.Execute(&text, p); err != nil {
			return "", nil, fmt.Errorf("rendering the error page: %w", err)
		}
		return "text/html; charset=utf-8", text.Bytes(), nil
	case strings.Contains(accept, "application/json"):
		body, err := json.Marshal(struct {
			Error   string `json:"error"`
			Request string `json:"request_id,omitempty"`
		}{p.Title + ". " + p.Text, p.Request})
		return "application/json", append(body, '\n'), err
	}
	text := fmt.Sprintf("%s. %s\n", p.Title, p.Text)
	if p.Request != "" {
		text += fmt.Sprintf("Request %s\n", p.Request)
	}
	return "text/plain; charset=utf-8", []byte(text), nil
}
