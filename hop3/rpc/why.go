package rpc

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/pages"
	"github.com/abilian/hop3/hop3/platform"
)

//go:embed why.html
var whyHTML string

var whyPage = template.Must(pages.Parse("why", whyHTML))

// whyAnswer is an explanation as scripts get it.
type whyAnswer struct {
	Request  string   `json:"request_id"`
	App      string   `json:"app"`
	Release  int      `json:"release,omitempty"`
	Time     string   `json:"time"`
	Status   int      `json:"status"` // 0: the answer broke off
	Cause    string   `json:"cause"`
	Instance string   `json:"instance,omitempty"`
	Exit     string   `json:"exit,omitempty"`
	Took     float64  `json:"took_seconds"`
	Said     []string `json:"explanation"`
	Log      []string `json:"log,omitempty"`
	Hint     string   `json:"hint,omitempty"`
}

// whyView is what the page shows.
type whyView struct {
	ID      string
	Title   string
	Text    string // in place of an explanation
	Login   string // the address of the login page, for who has to
	Answers []whyAnswer
}

// why tells users what happened to a request that failed: as HTML, JSON or
// text, as the client prefers. Nobody else learns whether there was one.
func (h *Handler) why(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	who, err := h.identify(r)
	if err == nil && who.user == nil {
		err = hop3.Errorf(hop3.CodeUnauthorized, "Authentication required.").
			WithHint("Ask on the command line instead: `hop3 why %s`.", printable(id[:min(len(id), 128)]))
	}
	var found []platform.Explanation
	if err == nil {
		found, err = h.Platform.Why(r.Context(), who.actor(), id)
	}
	view := whyView{ID: id, Title: "What happened"}
	for _, e := range found {
		view.Answers = append(view.Answers, whyAnswerOf(e))
	}
	accept := r.Header.Get("Accept")
	switch {
	case strings.Contains(accept, "text/html"):
		h.whyHTML(w, r, view, err)
	case err != nil:
		h.fail(w, r, err)
	case strings.Contains(accept, "application/json"):
		writeJSON(w, http.StatusOK, map[string]any{"requests": view.Answers})
	default:
		var text bytes.Buffer
		for _, e := range found {
			fmt.Fprintln(&text, command.WhyText(e))
		}
		writePage(w, http.StatusOK, "text/plain; charset=utf-8", text.Bytes())
	}
}

func (h *Handler) whyHTML(w http.ResponseWriter, r *http.Request, view whyView, err error) {
	status := http.StatusOK
	if err != nil {
		h.log(r, err)
		e := WireError(err)
		status, view.Title, view.Text = failStatus(err), "Not found", e.Message
		if status == http.StatusUnauthorized {
			view.Title, view.Login = "For users of this server", loginURL(r.URL.EscapedPath())
		}
	}
	var page bytes.Buffer
	if err := whyPage.Execute(&page, view); err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Security-Policy", pages.Policy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	writePage(w, status, "text/html; charset=utf-8", page.Bytes())
}

func writePage(w http.ResponseWriter, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client left: there is nobody to tell
}

func whyAnswerOf(e platform.Explanation) whyAnswer {
	f := e.Failure
	a := whyAnswer{
		Request: f.ID, App: f.App, Release: f.Release, Time: f.Time.UTC().Format(time.RFC3339Nano), Status: f.Status,
		Cause: string(f.Cause), Instance: e.Instance, Took: f.Took.Seconds(), Said: e.Said, Hint: e.Hint,
	}
	if e.Exit != nil {
		a.Exit = e.Exit.How
	}
	for _, line := range e.Log {
		a.Log = append(a.Log, api.Plain(line.String()))
	}
	return a
}
